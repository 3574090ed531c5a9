//! Opened models.

use crate::{
    error::VitError,
    memory::{check, check_apart},
    network::VitNetwork,
};
use core::{ffi::c_char, ops::Range, slice};
use vit_nostd::{
    frame::Fit,
    int8::Model,
    model_file::{Preamble, ALIGNMENT},
    Network,
};

/// A model that `vit_open` has opened. Its content is private. Several threads may use one model at the same time, because
/// no function changes it after `vit_open`. It may be copied, but it holds addresses: open it again after a reset.
#[repr(C)]
#[derive(Clone, Copy)]
pub union VitModel {
    /// Aligns the model.
    align: u64,
    /// The content.
    words: [usize; 56],
}

/// The content of a [`VitModel`] of network `N`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Opened<N: Network> {
    header: Header,
    model: Model<'static, N>,
}

/// The part of an opened model that can be read without its type.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// The number that tells an opened model from other memory.
    magic: u32,
    /// The real number that a logit of 1 stands for.
    pub(crate) logit_scale: f32,
    pub(crate) network: &'static VitNetwork,
    /// The way in which the network's training pictures were fitted to the input.
    pub(crate) fit: Fit,
    /// The address at which the model file begins, and the one at which it ends.
    file: [usize; 2],
}

impl Header {
    /// Returns the addresses of the model file.
    pub(crate) fn file(&self) -> Range<usize> {
        self.file[0]..self.file[1]
    }
}

/// The type of [`VitModel::label`].
pub(crate) type Label = unsafe fn(*const VitModel, usize) -> Option<&'static str>;

/// The type of [`VitModel::open`].
pub(crate) type Open = unsafe fn(*mut VitModel, &'static VitNetwork, &'static [u8]) -> Result<(), VitError>;

const MAGIC: u32 = 0x5649_5402;

impl VitModel {
    /// Validates a file as a model of network `N`, which `network` describes, and writes it to `model`.
    ///
    /// # Safety
    /// `model` is aligned and can be written to.
    pub(crate) unsafe fn open<N: Network>(
        model: *mut Self,
        network: &'static VitNetwork,
        file: &'static [u8],
    ) -> Result<(), VitError> {
        const {
            assert!(size_of::<Opened<N>>() <= size_of::<Self>(), "there are too few words");
            assert!(align_of::<Opened<N>>() <= align_of::<Self>());
        }
        let opened = Model::<N>::from_bytes(file)?;
        let header = Header {
            magic: MAGIC,
            logit_scale: opened.logit_scale(),
            network,
            fit: opened.metadata().fit,
            file: [file.as_ptr().addr(), file.as_ptr().addr() + file.len()],
        };
        // SAFETY: The assertions compare size and alignment, and the caller promises the rest.
        unsafe { model.cast::<Opened<N>>().write(Opened { header, model: opened }) };
        Ok(())
    }

    /// Returns the model that `vit_open` has written to this memory.
    ///
    /// # Safety
    /// The memory holds a model of network `N`, which is not changed during `'a`.
    pub(crate) unsafe fn model<'a, N: Network>(model: *const Self) -> &'a Model<'static, N> {
        // SAFETY: The caller promises it.
        unsafe { &(*model.cast::<Opened<N>>()).model }
    }

    /// Returns the label of a class, if there is such a class.
    ///
    /// # Safety
    /// The memory holds a model of network `N`.
    pub(crate) unsafe fn label<N: Network>(model: *const Self, class: usize) -> Option<&'static str> {
        // SAFETY: The caller promises it.
        unsafe { Self::model::<N>(model) }.metadata().labels().nth(class)
    }

    /// Returns the header of the model that a C program passes.
    ///
    /// # Safety
    /// `model` is null, or points to as much readable memory as a model has. If it is a model, its file still exists, and
    /// both are not changed during `'a`.
    pub(crate) unsafe fn header<'a>(model: *const Self) -> Result<&'a Header, VitError> {
        check(model, 1)?;
        let header = model.cast::<Header>();
        // SAFETY: The pointer is neither null nor misaligned, and the caller promises that the memory can be read. Only
        // the number is looked at before it is known that the rest is a header.
        if unsafe { (&raw const (*header).magic).read() } != MAGIC {
            return Err(VitError::VIT_ERROR_NOT_OPEN);
        }
        // SAFETY: `vit_open` has written the header, and the caller promises that it is not changed during `'a`.
        Ok(unsafe { &*header })
    }
}

/// Finds the length of the model file that begins at `begin`, in memory that may be longer, such as a partition of flash.
/// `available` is the number of bytes that can be read there. Only the beginning of the file is looked at.
///
/// # Safety
/// `begin` has `available` bytes. `file_bytes` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_file_bytes(
    begin: *const u8,
    available: usize,
    file_bytes: *mut usize,
) -> VitError {
    let find = || {
        let memory = check(begin, available)?;
        check_apart([&check(file_bytes, 1)?], [&memory])?;
        // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be read.
        let preamble = Preamble::read(unsafe { slice::from_raw_parts(begin, available) })?;
        let found = preamble.file_len as usize;
        if found > available {
            return Err(VitError::VIT_ERROR_FILE_LENGTH);
        }
        // SAFETY: The pointer has been checked, and the caller promises that it can be written to.
        unsafe { file_bytes.write(found) };
        Ok(())
    };
    find().into()
}

/// Checks a model file and opens it. The file is not copied: it must stay where it is, unchanged, as long as the model is
/// used. It may be in flash or in RAM, and must begin at a multiple of 16.
///
/// The whole file is read once, to compute its checksum.
///
/// If this fails, `model` is a model that is not open, even if it was open before. Only `VIT_ERROR_OVERLAP` leaves it
/// as it was, because to write to it would change the file.
///
/// # Safety
/// `model` can be written to. `network` is a network of the library. `file` has `file_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_open(
    model: *mut VitModel,
    network: *const VitNetwork,
    file: *const u8,
    file_bytes: usize,
) -> VitError {
    let open = || {
        let of_model = check(model, 1)?;
        let of_file = check(file, file_bytes);
        if let Ok(of_file) = &of_file {
            check_apart([&of_model], [of_file])?;
        }
        // SAFETY: The pointer is neither null nor misaligned, and the caller promises that the memory can be written to.
        // Words of zeros are a valid value, which is not an open model.
        unsafe { model.write(VitModel { words: [0; 56] }) };
        // SAFETY: The caller promises what `from_c` needs.
        let network = unsafe { VitNetwork::from_c(network)? };
        if !of_file?.start.is_multiple_of(ALIGNMENT) {
            return Err(VitError::VIT_ERROR_MISALIGNED);
        }
        // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be read and
        // does not change as long as the model is used.
        let file = unsafe { slice::from_raw_parts(file, file_bytes) };
        // SAFETY: `model` has been checked, and the function is that of the network.
        unsafe { (network.open)(model, network, file) }
    };
    open().into()
}

/// Finds the label of a class, in UTF-8, which is part of the model file. It does not end in a zero byte, so that it is
/// printed with its length: `printf("%.*s", (int)label_bytes, label)`.
///
/// # Safety
/// `model` is a model whose file still exists. `label` and `label_bytes` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_label(
    model: *const VitModel,
    class_index: usize,
    label: *mut *const c_char,
    label_bytes: *mut usize,
) -> VitError {
    let find = || {
        // SAFETY: The caller promises what `header` needs.
        let header = unsafe { VitModel::header(model)? };
        check_apart([&check(label, 1)?, &check(label_bytes, 1)?], [&check(model, 1)?, &header.file()])?;
        // SAFETY: The model is open, and the function is that of its network.
        let found = unsafe { (header.network.label)(model, class_index) };
        let found = found.ok_or(VitError::VIT_ERROR_NO_CLASS)?;
        // SAFETY: The pointers are neither null nor misaligned, and the caller promises that they can be written to.
        unsafe {
            label.write(found.as_ptr().cast());
            label_bytes.write(found.len());
        }
        Ok(())
    };
    find().into()
}
