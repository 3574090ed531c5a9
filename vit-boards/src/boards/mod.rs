//! The boards, one module each. The feature with the board's name includes it.

#[cfg(feature = "microbit")]
mod microbit;
#[cfg(feature = "mps2")]
mod mps2;
#[cfg(feature = "mps2-an505")]
mod mps2_an505;
#[cfg(feature = "netduinoplus2")]
mod netduinoplus2;
#[cfg(feature = "nrf52840-dk")]
mod nrf52840_dk;
#[cfg(feature = "nucleo-h743zi")]
mod nucleo_h743zi;
#[cfg(feature = "nucleo-l4r5zi")]
mod nucleo_l4r5zi;
#[cfg(feature = "pico")]
mod pico;
#[cfg(feature = "pico2")]
mod pico2;
#[cfg(feature = "stm32vldiscovery")]
mod stm32vldiscovery;

#[cfg(feature = "microbit")]
pub use microbit::Microbit;
#[cfg(feature = "mps2")]
pub use mps2::Mps2;
#[cfg(feature = "mps2-an505")]
pub use mps2_an505::Mps2An505;
#[cfg(feature = "netduinoplus2")]
pub use netduinoplus2::Netduinoplus2;
#[cfg(feature = "nrf52840-dk")]
pub use nrf52840_dk::Nrf52840Dk;
#[cfg(feature = "nucleo-h743zi")]
pub use nucleo_h743zi::NucleoH743zi;
#[cfg(feature = "nucleo-l4r5zi")]
pub use nucleo_l4r5zi::NucleoL4r5zi;
#[cfg(feature = "pico")]
pub use pico::Pico;
#[cfg(feature = "pico2")]
pub use pico2::Pico2;
#[cfg(feature = "stm32vldiscovery")]
pub use stm32vldiscovery::Stm32vldiscovery;
