//! Object files: the library as one object without anything that it does not need, and models as data.

use super::{compiler, model::ExportedModel, text::SIZES};
use crate::error::{Error, IoContext};
use ar_archive_writer::{write_archive_to_stream, ArchiveKind, NewArchiveMember, DEFAULT_OBJECT_READER};
use object::{
    build::elf::{Builder, SectionData, SectionId, SymbolId},
    elf,
    write::{Object, StandardSegment, Symbol, SymbolSection},
    Architecture, BinaryFormat, FileFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use std::{collections::BTreeSet, fs, io, path::Path, process::Command};

/// The beginning of the names of everything that the library exports.
const PREFIX: &[u8] = b"vit_";

/// The section by which an object says that it needs no executable stack. Without it, linkers on Linux believe the
/// opposite. Compilers for chips do not write it, and if a single object has it, GNU's linker warns of all others.
const STACK_NOTE: &[u8] = b".note.GNU-stack";

/// Functions that a library for a computer may need, because every program there has a C library.
const OF_EVERY_COMPUTER: [&str; 6] = ["bcmp", "memcmp", "memcpy", "memmove", "memset", "strlen"];

/// The library as one object file.
pub(super) struct Library {
    object: Vec<u8>,
    networks: Vec<NetworkSizes>,
    sizes: Sizes,
}

/// The lengths and the memory of a network on the library's target, as `vit_c::VitSizes` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetworkSizes {
    pub height: u64,
    pub width: u64,
    pub channels: u64,
    pub classes: u64,
    pub image_bytes: u64,
    pub scratch_bytes: u64,
    pub sums: u64,
}

/// Numbers of bytes in a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Everything in the library.
    pub all: Bytes,
    /// What a linker keeps if it drops unused sections, and a program only opens models and classifies images.
    pub inference: Bytes,
}

/// Numbers of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// Instructions.
    pub code: u64,
    /// Constants.
    pub constants: u64,
}

impl Library {
    /// Links the archive that the compiler has made for some networks: what the exported functions need becomes one
    /// object, in which nothing else has a name that another object could see. Intermediate files are put into `folder`.
    ///
    /// # Errors
    /// [`Error::Compiler`] if the linker is missing or fails, or if something is wrong with what it makes: a symbol that
    /// is not defined, variables, or a panic.
    pub(super) fn link(archive: &Path, models: &[ExportedModel], folder: &Path) -> Result<Self, Error> {
        let linked = folder.join("vit.o");
        let mut linker = Command::new(linker(folder)?);
        linker
            .args(["-flavor", "gnu", "-r", "--strip-debug", "-u", "vit_open", "-o"])
            .arg(&linked)
            .arg(archive);
        compiler::output(linker)?;
        let bytes = fs::read(&linked).at(&linked)?;
        let fault = |error: object::build::Error| Error::Compiler(format!("{}: {error}", linked.display()));
        let mut object = Builder::read(&*bytes).map_err(fault)?;
        let networks = models.iter().map(|model| sizes_of(&object, &model.name)).collect::<Result<_, _>>()?;

        let exported: Vec<_> = symbols(&object, |name| name.starts_with(PREFIX)).collect();
        let is_for_inference = |name: &[u8]| {
            let is_network = |model: &ExportedModel| name == format!("vit_{}", model.name).as_bytes();
            [&b"vit_open"[..], b"vit_infer"].contains(&name) || models.iter().any(is_network)
        };
        let for_inference: Vec<_> = symbols(&object, is_for_inference).collect();
        let needed = reachable(&object, &exported);
        let sizes = Sizes {
            all: bytes_of(&object, &needed),
            inference: bytes_of(&object, &reachable(&object, &for_inference)),
        };
        keep(&mut object, &needed);
        hide(&mut object);
        check(&object)?;
        let mut written = Vec::new();
        object.write(&mut written).map_err(fault)?;
        Ok(Self { object: written, networks, sizes })
    }

    /// Returns the bytes of a static library, `libvit.a`.
    pub(super) fn archive(&self) -> Result<Vec<u8>, Error> {
        let member = NewArchiveMember::new(self.object.clone(), &DEFAULT_OBJECT_READER, "vit.o".to_owned());
        let mut bytes = io::Cursor::new(Vec::new());
        write_archive_to_stream(&mut bytes, &[member], ArchiveKind::Gnu, false, None)
            .map_err(|error| Error::Compiler(format!("libvit.a: {error}")))?;
        Ok(bytes.into_inner())
    }

    /// Returns the lengths and the memory of the networks.
    pub(super) fn networks(&self) -> &[NetworkSizes] {
        &self.networks
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Returns an object file with the constant `symbol`, whose content is `data`, for the target of the library.
    pub(super) fn data_object(&self, symbol: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
        use object::Object as _;
        let fault = |error: &dyn std::fmt::Display| Error::Compiler(format!("{symbol}: {error}"));
        let library = object::File::parse(&*self.object).map_err(|error| fault(&error))?;
        let mut object = Object::new(BinaryFormat::Elf, library.architecture(), library.endianness());
        if library.architecture() == Architecture::Arm {
            object.flags = FileFlags::Elf { os_abi: 0, abi_version: 0, e_flags: elf::EF_ARM_EABI_VER5 };
        }
        let segment = object.segment_name(StandardSegment::Data).to_vec();
        let section = format!(".rodata.{symbol}").into_bytes();
        let section = object.add_section(segment, section, SectionKind::ReadOnlyData);
        let symbol = object.add_symbol(Symbol {
            name: symbol.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        object.add_symbol_data(symbol, section, data, vit_nostd::model_file::ALIGNMENT as u64);
        if library.architecture() != Architecture::Arm {
            object.add_section(Vec::new(), STACK_NOTE.to_vec(), SectionKind::Other);
        }
        object.write().map_err(|error| fault(&error))
    }
}

/// Returns the path of the linker that comes with the Rust compiler.
fn linker(folder: &Path) -> Result<std::path::PathBuf, Error> {
    let sysroot = compiler::rustc(&["--print", "sysroot"], folder)?;
    let host = compiler::rustc(&["--print", "host-tuple"], folder)?;
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host.trim()).join("bin");
    Ok(folder.join(format!("rust-lld{}", std::env::consts::EXE_SUFFIX)))
}

/// Returns the defined global symbols whose names satisfy a condition.
fn symbols<'a>(
    object: &'a Builder<'_>,
    is_wanted: impl Fn(&[u8]) -> bool + 'a,
) -> impl Iterator<Item = SymbolId> + 'a {
    let symbols = object.symbols.iter().filter(move |symbol| {
        symbol.section.is_some() && symbol.st_bind() != elf::STB_LOCAL && is_wanted(symbol.name.as_slice())
    });
    symbols.map(|symbol| symbol.id())
}

/// Reads the sizes of a network from the constant that the library has for this purpose.
fn sizes_of(object: &Builder<'_>, name: &str) -> Result<NetworkSizes, Error> {
    let find = || {
        let wanted = format!("{SIZES}{name}");
        let symbol = object.symbols.iter().find(|symbol| symbol.name.as_slice() == wanted.as_bytes())?;
        let SectionData::Data(data) = &object.sections.get(symbol.section?).data else { return None };
        let data = data.as_slice().get(symbol.st_value as usize..)?;
        let word = if object.is_64 { 8 } else { 4 };
        let mut words = data.chunks_exact(word).map(|bytes| {
            let mut number = [0; 8];
            number[..word].copy_from_slice(bytes);
            u64::from_le_bytes(number)
        });
        let mut next = || words.next();
        Some(NetworkSizes {
            height: next()?,
            width: next()?,
            channels: next()?,
            classes: next()?,
            image_bytes: next()?,
            scratch_bytes: next()?,
            sums: next()?,
        })
    };
    find().ok_or_else(|| Error::Compiler(format!("the library does not state the sizes of {name}")))
}

/// Returns the sections in which these symbols are, and all sections that these refer to.
fn reachable(object: &Builder<'_>, roots: &[SymbolId]) -> BTreeSet<usize> {
    use object::build::Id;
    let mut found = BTreeSet::new();
    let mut open: Vec<SectionId> =
        roots.iter().filter_map(|root| object.symbols.get(*root).section).collect();
    while let Some(section) = open.pop() {
        if !found.insert(section.index()) {
            continue;
        }
        for relocations in &object.sections {
            let SectionData::Relocation(list) = &relocations.data else { continue };
            if relocations.sh_info_section != Some(section) {
                continue;
            }
            let symbols = list.iter().filter_map(|relocation| relocation.symbol);
            open.extend(symbols.filter_map(|symbol| object.symbols.get(symbol).section));
        }
    }
    found
}

/// Returns the bytes in these sections.
fn bytes_of(object: &Builder<'_>, sections: &BTreeSet<usize>) -> Bytes {
    use object::build::Id;
    let mut bytes = Bytes::default();
    for section in object.sections.iter().filter(|section| sections.contains(&section.id().index())) {
        let is_code = section.sh_flags & u64::from(elf::SHF_EXECINSTR) != 0;
        *if is_code { &mut bytes.code } else { &mut bytes.constants } += section.sh_size;
    }
    bytes
}

/// Returns true if the library is for a chip, and not for a computer.
fn is_for_a_chip(object: &Builder<'_>) -> bool {
    object.header.e_machine == elf::EM_ARM
}

/// Deletes all content except these sections, their relocations, and what a linker wants to know about the object.
fn keep(object: &mut Builder<'_>, sections: &BTreeSet<usize>) {
    use object::build::Id;
    let is_needed = |id: SectionId| sections.contains(&id.index());
    let is_for_a_chip = is_for_a_chip(object);
    for section in &mut object.sections {
        section.delete = !match &section.data {
            SectionData::Relocation(_) => section.sh_info_section.is_some_and(is_needed),
            SectionData::SectionString | SectionData::Symbol | SectionData::String => true,
            SectionData::Attributes(_) => true,
            _ => is_needed(section.id()) || section.name.as_slice() == STACK_NOTE && !is_for_a_chip,
        };
        section.sh_flags &= !u64::from(elf::SHF_GROUP); // no groups are kept, because nothing outside could share them
    }
    object.delete_orphans();
}

/// Makes all symbols local whose names do not begin with the prefix.
fn hide(object: &mut Builder<'_>) {
    for symbol in &mut object.symbols {
        if symbol.section.is_some() && !symbol.name.as_slice().starts_with(PREFIX) {
            let kind = symbol.st_type();
            symbol.set_st_info(elf::STB_LOCAL, kind);
            symbol.st_other = elf::STV_DEFAULT;
        }
    }
}

/// Checks what this module promises about a library.
fn check(object: &Builder<'_>) -> Result<(), Error> {
    for symbol in object.symbols.iter().filter(|symbol| !symbol.delete) {
        let name = String::from_utf8_lossy(symbol.name.as_slice());
        if symbol.section.is_none()
            && u32::from(symbol.st_shndx) == u32::from(elf::SHN_UNDEF)
            && !name.is_empty()
            && (is_for_a_chip(object) || !OF_EVERY_COMPUTER.contains(&&*name))
        {
            return Err(Error::Compiler(format!("the library needs {name}, which it does not have")));
        }
        // The kernels for computers check bounds.
        let is_of_panics =
            ["panic", "unwind"].iter().any(|part| name.contains(part)) && !name.starts_with("vit_");
        if is_of_panics && is_for_a_chip(object) {
            return Err(Error::Compiler(format!("the library can panic: it has {name}")));
        }
    }
    let variables = object.sections.iter().find(|section| {
        let is_writable = section.is_alloc() && section.sh_flags & u64::from(elf::SHF_WRITE) != 0;
        !section.delete && is_writable && section.sh_size > 0
    });
    match variables {
        // On a computer, the library remembers which instructions the processor has.
        Some(section) if is_for_a_chip(object) => Err(Error::Compiler(format!(
            "the library has variables: {}",
            String::from_utf8_lossy(section.name.as_slice())
        ))),
        _ => Ok(()),
    }
}
