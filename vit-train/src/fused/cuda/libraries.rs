//! NVIDIA's libraries, which are loaded when they are needed. Building this crate does not need them, and neither does
//! a program that does not use a GPU.
//!
//! `cudarc` loads a library by its name, from the places that the system's loader searches. If a library is elsewhere,
//! in pip's packages or in a toolkit, it is loaded here by its path first. The loader then finds it by its name,
//! because it is already in the process.

use cudarc::{cublas, driver, get_lib_name_candidates, nvrtc};
use libloading::Library;
use std::{
    env,
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

/// The error that one of NVIDIA's libraries was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} not found: it is neither where the system looks for libraries (LD_LIBRARY_PATH) nor in {places}: {advice}")]
pub struct Missing {
    name: &'static str,
    places: &'static str,
    advice: &'static str,
}

/// Loads the driver, cuBLAS and NVRTC, unless they are already loaded.
///
/// # Errors
/// Returns an error for the first of them that was not found.
pub(crate) fn load() -> Result<(), Missing> {
    load_driver()?;
    load_cublas()?;
    load_nvrtc()
}

/// Loads NVIDIA's driver, unless it is already loaded.
///
/// # Errors
/// Returns an error if it was not found.
pub(crate) fn load_driver() -> Result<(), Missing> {
    let missing = Missing {
        name: "NVIDIA's driver (libcuda)",
        places: "the usual folders of drivers",
        advice: "install it, if there is an NVIDIA GPU (see https://www.nvidia.com/drivers)",
    };
    // SAFETY: by its name, the library is NVIDIA's driver, whose initialisers have no preconditions.
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
    // SAFETY: by its name, the library is NVIDIA's cuBLAS, whose initialisers have no preconditions.
    load_one(
        || unsafe { cublas::sys::is_culib_present() },
        &["cublasLt", "cublas"],
        &toolkit_folders,
        missing,
    )
}

/// Loads NVRTC, the compiler of kernels, unless it is already loaded.
///
/// # Errors
/// Returns an error if it was not found.
pub(crate) fn load_nvrtc() -> Result<(), Missing> {
    let missing = Missing {
        name: "NVRTC (libnvrtc)",
        places: TOOLKIT,
        advice: "install it by `pip install nvidia-cuda-nvrtc` into an active virtual environment (for drivers before \
                 580: nvidia-cuda-nvrtc-cu12), or with NVIDIA's CUDA toolkit",
    };
    // SAFETY: by its name, the library is NVIDIA's NVRTC, whose initialisers have no preconditions.
    load_one(
        || unsafe { nvrtc::sys::is_culib_present() },
        &["nvrtc-builtins", "nvrtc"],
        &toolkit_folders,
        missing,
    )
}

/// Loads the library that is last in `names` from the first folder that has it, unless `present` says that it is
/// already loaded. The other names are libraries that it needs itself; they are loaded first.
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

/// Tries to load the last of these libraries from `folder`. Returns true if it was loaded.
fn load_from(folder: &Path, names: &[&str]) -> bool {
    let Some((own, needed)) = names.split_last() else { return false };
    let candidates = get_lib_name_candidates(own).into_iter().map(|name| folder.join(name));
    let Some(path) = candidates.into_iter().find(|path| path.is_file()) else { return false };
    // The libraries that it needs are in the same folder. If one of them cannot be loaded, loading the library itself
    // fails.
    for name in needed {
        let start = format!("{}{name}{}", env::consts::DLL_PREFIX, if cfg!(windows) { "" } else { ".so" });
        for path in paths(folder, |entry| entry.file_name().to_string_lossy().starts_with(&start)) {
            keep(&path);
        }
    }
    keep(&path)
}

/// Loads a library for the lifetime of the process. Returns true if it was loaded.
fn keep(path: &Path) -> bool {
    // SAFETY: by its name and folder, the library is one of NVIDIA's, whose initialisers have no preconditions.
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

/// Returns the folders of pip's and Conda's packages, then those of CUDA toolkits.
fn toolkit_folders() -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect();
    let path = env::var_os("PATH").unwrap_or_default();
    // A python3 on the PATH is in the folder `bin` of its prefix.
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

/// Returns the paths of the wanted entries of a folder, or none if there is no such folder.
fn paths(folder: &Path, wanted: impl Fn(&DirEntry) -> bool) -> impl Iterator<Item = PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.into_iter().filter(move |entry| wanted(entry)).map(|entry| entry.path())
}
