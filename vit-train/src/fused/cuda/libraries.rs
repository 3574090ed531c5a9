//! NVIDIA's libraries, found when they are needed: building this crate takes none of them, and neither does a program
//! that does not use a GPU.
//!
//! `cudarc` loads a library by its name, from where the system's loader looks. What lies elsewhere, in the packages
//! that pip installs or in a toolkit, is loaded here by its path before that: a library that is in the process
//! already is found by its name.

use cudarc::{cublas, driver, get_lib_name_candidates, nvrtc};
use libloading::Library;
use std::{
    env,
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

/// A library that is nowhere to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} not found: it is neither where the system looks for libraries (LD_LIBRARY_PATH) nor in {places}: {advice}")]
pub struct Missing {
    name: &'static str,
    places: &'static str,
    advice: &'static str,
}

/// Makes sure that driver, cuBLAS and NVRTC are loaded.
///
/// # Errors
/// The first of them that is not there.
pub fn load() -> Result<(), Missing> {
    load_driver()?;
    load_cublas()?;
    load_nvrtc()
}

/// The driver.
///
/// # Errors
/// It is not there.
pub fn load_driver() -> Result<(), Missing> {
    let missing = Missing {
        name: "NVIDIA's driver (libcuda)",
        places: "the usual folders of drivers",
        advice:
            "--cuda needs an NVIDIA GPU and its driver (see https://www.nvidia.com/drivers); without --cuda, \
                 everything runs on the CPU",
    };
    // SAFETY: the library is NVIDIA's, by its name, and what runs when it is loaded needs nothing of this process.
    load_one(|| unsafe { driver::sys::is_culib_present() }, &["cuda"], &driver_folders, missing)
}

const TOOLKIT: &str =
    "nvidia/*/lib of Python's packages (of VIRTUAL_ENV, CONDA_PREFIX and the python3 on the PATH), \
                       CUDA_PATH, CUDA_HOME and /usr/local/cuda*";

fn load_cublas() -> Result<(), Missing> {
    let missing = Missing {
        name: "cuBLAS (libcublas)",
        places: TOOLKIT,
        advice: "install it by `pip install nvidia-cublas` into an active virtual environment (for drivers before 580: \
                 nvidia-cublas-cu12), or with NVIDIA's CUDA toolkit",
    };
    // SAFETY: the library is NVIDIA's, by its name, and what runs when it is loaded needs nothing of this process.
    load_one(
        || unsafe { cublas::sys::is_culib_present() },
        &["cublasLt", "cublas"],
        &toolkit_folders,
        missing,
    )
}

/// The compiler of kernels.
///
/// # Errors
/// It is not there.
pub fn load_nvrtc() -> Result<(), Missing> {
    let missing = Missing {
        name: "NVRTC (libnvrtc)",
        places: TOOLKIT,
        advice: "install it by `pip install nvidia-cuda-nvrtc` into an active virtual environment (for drivers before \
                 580: nvidia-cuda-nvrtc-cu12), or with NVIDIA's CUDA toolkit",
    };
    // SAFETY: the library is NVIDIA's, by its name, and what runs when it is loaded needs nothing of this process.
    load_one(
        || unsafe { nvrtc::sys::is_culib_present() },
        &["nvrtc-builtins", "nvrtc"],
        &toolkit_folders,
        missing,
    )
}

/// Where `present` says no: loads the library that is last in `names`, and before it those that it needs itself, from
/// the first folder that has it.
fn load_one(
    present: impl Fn() -> bool,
    names: &[&str],
    folders: &dyn Fn() -> Vec<PathBuf>,
    missing: Missing,
) -> Result<(), Missing> {
    if present() || folders().iter().any(|folder| load_from(folder, names) && present()) {
        Ok(())
    } else {
        Err(missing)
    }
}

/// Whether `folder` has the last of these libraries, and whether it could be loaded.
fn load_from(folder: &Path, names: &[&str]) -> bool {
    let Some((own, needed)) = names.split_last() else { return false };
    let candidates = get_lib_name_candidates(own).into_iter().map(|name| folder.join(name));
    let Some(path) = candidates.into_iter().find(|path| path.is_file()) else { return false };
    // What the library needs lies beside it. Where that cannot be loaded, loading the library itself will say so.
    for name in needed {
        let start = format!("{}{name}{}", env::consts::DLL_PREFIX, if cfg!(windows) { "" } else { ".so" });
        for path in paths(folder, |entry| entry.file_name().to_string_lossy().starts_with(&start)) {
            keep(&path);
        }
    }
    keep(&path)
}

/// Loads a library for as long as the process lives; whether that was possible.
fn keep(path: &Path) -> bool {
    // SAFETY: the library is NVIDIA's, by its name and place, and what runs when it is loaded needs nothing of this process.
    unsafe { Library::new(path) }.map(std::mem::forget).is_ok()
}

fn driver_folders() -> Vec<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/local/nvidia/lib64",
        "/usr/local/nvidia/lib",
        "/usr/lib64-nvidia",
        "/usr/lib/wsl/lib",
        "/run/opengl-driver/lib",
    ];
    folders.map(PathBuf::from).into()
}

/// Folders of pip's packages, then those of toolkits.
fn toolkit_folders() -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect();
    let path = env::var_os("PATH").unwrap_or_default();
    // A python3 on the PATH is in the `bin` of its prefix.
    let pythons = env::split_paths(&path).filter(|folder| folder.join("python3").is_file());
    prefixes.extend(pythons.filter_map(|folder| Some(folder.parent()?.to_owned())));
    prefixes.extend(variable("HOME").map(|home| home.join(".local")));

    let mut folders = Vec::new();
    for prefix in &prefixes {
        for python in paths(&prefix.join("lib"), |entry| starts_with(entry, "python3")) {
            for packages in [python.join("site-packages"), python.join("dist-packages")] {
                folders.extend(paths(&packages.join("nvidia"), |_| true).map(|package| package.join("lib")));
            }
        }
        folders.push(prefix.join("lib")); // Conda's own packages
    }
    let mut toolkits: Vec<PathBuf> = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(variable).collect();
    toolkits.push("/opt/cuda".into());
    let mut versions: Vec<_> = paths(Path::new("/usr/local"), |entry| starts_with(entry, "cuda")).collect();
    versions.sort();
    toolkits.extend(versions.into_iter().rev());
    for toolkit in toolkits {
        folders.extend(["lib64", "lib", "bin"].map(|part| toolkit.join(part)));
    }
    folders
}

fn starts_with(entry: &DirEntry, text: &str) -> bool {
    entry.file_name().to_string_lossy().starts_with(text)
}

/// What lies in a folder; nothing where there is no such folder.
fn paths(folder: &Path, wanted: impl Fn(&DirEntry) -> bool) -> impl Iterator<Item = PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.into_iter().filter(move |entry| wanted(entry)).map(|entry| entry.path())
}
