//! Checks that a JPEG file contains its whole picture.
//!
//! Decoders do not report missing data: they fill in grey, because a viewer should show a part of a picture rather
//! than nothing. A network must not be given such a picture. [`complete`] therefore reads the codes of all picture
//! data, without computing pixels from them, and finds out whether the last one is there.
//!
//! A file consists of segments that begin with a marker: tables, the frame (size and components) and scans. The
//! Huffman codes of a scan follow its segment. A sequential file has one scan for all components, or one for each. A
//! progressive file has several scans, each of which contains some of the 64 coefficients of every block: first their
//! upper bits, then one more bit in each refining scan. ITU-T T.81 describes the order of blocks in annex A, the
//! segments in annex B, the codes of sequential scans in annex F, and those of progressive scans in annex G.

use std::ops::RangeInclusive;

/// The markers of the kinds of frames that are checked: baseline, extended sequential and progressive.
const FRAMES: RangeInclusive<u8> = 0xc0..=0xc2;
const PROGRESSIVE: u8 = 0xc2;
const HUFFMAN_TABLES: u8 = 0xc4;
/// The markers of frames that are lossless, hierarchical or arithmetically coded. Hardly any program reads them.
const OTHER_FRAMES: [u8; 11] = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf, 0xf7];
/// The eight restart markers, which take turns between the intervals of a scan.
const RESTARTS: RangeInclusive<u8> = 0xd0..=0xd7;
const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const RESTART_INTERVAL: u8 = 0xdd;
const TEMPORARY: u8 = 0x01;

/// The largest number of unused bytes between the last code of a scan and the next marker. If there are more, the
/// codes are damaged, and the reader has lost synchronization.
const UNUSED: usize = 64;

/// A reason why a file is not a whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file, or a scan in it, ends before the picture does.
    Truncated,
    /// The data are inconsistent.
    Damaged,
}

/// Checks that a JPEG file contains its whole picture, and makes the file end after the picture with an end marker.
///
/// Bytes after the picture are removed. A missing end marker is added, because without it a decoder that looks ahead
/// would treat the last rows as missing. Files with kinds of frames that hardly any program reads are left to the
/// decoder.
pub(super) fn complete(bytes: &mut Vec<u8>) -> Result<(), Fault> {
    if let Some(end) = end_of_picture(bytes)? {
        bytes.truncate(end);
        bytes.extend([0xff, END_OF_IMAGE]);
    }
    Ok(())
}

/// Returns the offset at which the codes of the picture end, or `None` if the kind of frame is not checked.
fn end_of_picture(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let (mut at, mut tables, mut frame) = (0, Tables::default(), None);
    loop {
        at = next_marker(bytes, at).ok_or(Fault::Truncated)?;
        let marker = bytes[at - 1];
        match marker {
            START_OF_IMAGE | TEMPORARY => continue,
            END_OF_IMAGE => return Err(Fault::Truncated),
            _ if RESTARTS.contains(&marker) => continue,
            _ if OTHER_FRAMES.contains(&marker) => return Ok(None),
            _ => {}
        }
        let rest = &bytes[at..];
        let len = number(rest, 0).map_err(|_| Fault::Truncated)?;
        let segment = rest.get(..len).ok_or(Fault::Truncated)?.get(2..).ok_or(Fault::Damaged)?;
        at += len;
        match marker {
            HUFFMAN_TABLES => tables.define(segment)?,
            RESTART_INTERVAL => tables.restart_interval = number(segment, 0)?,
            START_OF_SCAN => {
                let frame = frame.as_mut().ok_or(Fault::Damaged)?;
                at = Scan::read(segment, frame)?.walk(frame, &tables, bytes, at)?;
                if frame.is_complete() {
                    return Ok(Some(at));
                }
            }
            _ if FRAMES.contains(&marker) && frame.is_some() => return Err(Fault::Damaged),
            _ if FRAMES.contains(&marker) => frame = Some(Frame::read(segment, marker == PROGRESSIVE)?),
            _ => {}
        }
    }
}

/// Returns the offset at which the next marker ends.
///
/// A marker is 0xff, which may be repeated, followed by a byte other than 0. In codes, 0xff is followed by 0.
fn next_marker(bytes: &[u8], at: usize) -> Option<usize> {
    let pairs = bytes.get(at..)?.windows(2);
    Some(at + 2 + pairs.into_iter().position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?)
}

/// Reads the big-endian number in the two bytes at offset `at`.
fn number(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let bytes = bytes.get(at..at + 2).ok_or(Fault::Damaged)?;
    Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// Splits a byte into its upper and lower four bits.
fn halves(byte: u8) -> (usize, usize) {
    (usize::from(byte >> 4), usize::from(byte & 0x0f))
}

/// The tables in the segments before a scan, which its codes depend on.
#[derive(Default)]
struct Tables {
    /// The four Huffman tables for the first coefficient of a block (DC), and the four for the other coefficients (AC).
    codes: [[Option<Codes>; 4]; 2],
    /// The number of units between two restart markers, or 0 if there are no restart markers.
    restart_interval: usize,
}

impl Tables {
    /// Adds the Huffman tables that a segment defines.
    fn define(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&which, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(Fault::Damaged)?;
            let count = counts.iter().copied().map(usize::from).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(Fault::Damaged)?;
            let (class, index) = halves(which);
            let slot = self.codes.get_mut(class).and_then(|codes| codes.get_mut(index));
            *slot.ok_or(Fault::Damaged)? = Some(Codes::new(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }

    fn dc(&self, component: &Component) -> Result<&Codes, Fault> {
        self.codes[0].get(component.tables.0).and_then(Option::as_ref).ok_or(Fault::Damaged)
    }

    fn ac(&self, component: &Component) -> Result<&Codes, Fault> {
        self.codes[1].get(component.tables.1).and_then(Option::as_ref).ok_or(Fault::Damaged)
    }
}

/// A Huffman code.
struct Codes {
    /// For each code length from 1 to 16, a pair of numbers. Sequences of 16 bits that begin with a code of at most
    /// this length are smaller than the first. The second, added to a code of this length, gives the index of its
    /// symbol.
    lengths: [(u32, i32); 16],
    /// The symbols in the order of their codes.
    symbols: Vec<u8>,
}

impl Codes {
    /// Creates the code with `counts[i]` codes of length `i + 1` (ITU-T T.81, annex C).
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let (mut code, mut place, mut lengths) = (0, 0, [(0, 0); 16]);
        for (index, &count) in counts.iter().enumerate() {
            let offset = place - code;
            code += i32::from(count);
            place += i32::from(count);
            if code > 2 << index {
                return Err(Fault::Damaged);
            }
            lengths[index] = ((code as u32) << (15 - index), offset);
            code <<= 1;
        }
        Ok(Self { lengths, symbols: symbols.to_vec() })
    }
}

/// The frame: the size and the components of the picture.
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
}

/// A component of the picture: the brightness or one of the colour channels.
struct Component {
    id: u8,
    /// The numbers of blocks, in a row and in a column, that this component has in a unit (MCU) of a scan of several
    /// components.
    sampling: (usize, usize),
    /// The indices of the Huffman tables of the current scan, for DC and AC.
    tables: (usize, usize),
    /// The lowest bit of each coefficient that previous scans contained, or `None` before the first.
    lowest: [Option<u8>; 64],
    /// A bit mask for each block of a progressive frame, with a bit for each coefficient that is known not to be 0.
    nonzero: Vec<u64>,
    /// The number of blocks in a row of `nonzero`.
    stride: usize,
}

impl Frame {
    fn read(segment: &[u8], progressive: bool) -> Result<Self, Fault> {
        let (height, width) = (number(segment, 1)?, number(segment, 3)?);
        let (&count, rest) = segment[5..].split_first().ok_or(Fault::Damaged)?;
        let component = |bytes: &[u8]| {
            let (id, sampling) = (bytes[0], halves(bytes[1]));
            Component { id, sampling, tables: (0, 0), lowest: [None; 64], nonzero: Vec::new(), stride: 0 }
        };
        let components: Vec<_> = rest.chunks_exact(3).take(count.into()).map(component).collect();
        let sides = 1..=4;
        let sound = |&(across, down): &(usize, usize)| sides.contains(&across) && sides.contains(&down);
        if [width, height, components.len()].contains(&0)
            || components.len() != usize::from(count)
            || !components.iter().all(|component| sound(&component.sampling))
        {
            return Err(Fault::Damaged);
        }
        let mut frame = Self { progressive, width, height, components };
        if progressive {
            let (columns, rows) = frame.units();
            for component in &mut frame.components {
                let (across, down) = component.sampling;
                component.stride = columns * across;
                component.nonzero = vec![0; component.stride * rows * down];
            }
        }
        Ok(frame)
    }

    /// Returns the largest sampling factors of all components.
    fn sampling(&self) -> (usize, usize) {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        (most(|component| component.sampling.0), most(|component| component.sampling.1))
    }

    /// Returns the numbers of units of a scan of several components, in a row and in a column.
    fn units(&self) -> (usize, usize) {
        let (across, down) = self.sampling();
        (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down))
    }

    /// Returns true if the scans so far contained all bits of all coefficients of all components.
    fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.lowest == [Some(0); 64])
    }
}

/// A scan: the codes of some coefficients of some components.
struct Scan {
    /// The indices of the components.
    components: Vec<usize>,
    /// The first of the coefficients.
    first: usize,
    /// The last of the coefficients.
    last: usize,
    /// True if the scan adds one bit to coefficients whose upper bits were in previous scans.
    refines: bool,
    progressive: bool,
}

impl Scan {
    fn read(segment: &[u8], frame: &mut Frame) -> Result<Self, Fault> {
        let (&count, rest) = segment.split_first().ok_or(Fault::Damaged)?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(Fault::Damaged)?;
        let &[first, last, bits, ..] = rest else { return Err(Fault::Damaged) };
        // A sequential scan always has all bits of all coefficients, whatever its header says.
        let progressive = frame.progressive;
        let (first, last, bits) = if progressive { (first, last, bits) } else { (0, 63, 0) };
        let (first, last) = (usize::from(first), usize::from(last));
        let (upper, lowest) = (bits >> 4, bits & 0x0f);
        let refines = upper != 0;
        let sound = first <= last
            && last < 64
            && !(progressive && first == 0 && last > 0)
            && !(first > 0 && count != 1)
            && !(refines && upper != lowest + 1);
        if !sound {
            return Err(Fault::Damaged);
        }
        let mut components = Vec::new();
        for selector in selectors.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == selector[0]);
            let index = index.filter(|index| !components.contains(index)).ok_or(Fault::Damaged)?;
            let component = &mut frame.components[index];
            component.tables = halves(selector[1]);
            let coefficients = &mut component.lowest[first..=last];
            let before = refines.then_some(upper);
            if coefficients.iter().any(|&lowest| lowest != before) {
                return Err(Fault::Damaged);
            }
            coefficients.fill(Some(lowest));
            components.push(index);
        }
        Ok(Self { components, first, last, refines, progressive })
    }

    /// Reads the codes of this scan, which begin at offset `at`, and returns the offset at which they end.
    fn walk(&self, frame: &mut Frame, tables: &Tables, bytes: &[u8], at: usize) -> Result<usize, Fault> {
        let (most, mut units) = (frame.sampling(), frame.units());
        let mut alone = None;
        if let [only] = self.components[..] {
            // A scan of a single component has only the blocks that the picture needs, and none that fill up a unit.
            let sampling = frame.components[only].sampling;
            let blocks = |side: usize, own: usize, most: usize| (side * own).div_ceil(most).div_ceil(8);
            units = (blocks(frame.width, sampling.0, most.0), blocks(frame.height, sampling.1, most.1));
            alone = Some((1, 1));
        }
        let mut reader = Reader { bytes, at, buffer: 0, bits: 0, zero_blocks: 0 };
        let mut restarts = RESTARTS.cycle();
        for unit in 0..units.0 * units.1 {
            if tables.restart_interval > 0 && unit > 0 && unit % tables.restart_interval == 0 {
                reader.restart(restarts.next())?;
            }
            for &index in &self.components {
                let component = &mut frame.components[index];
                let (across, down) = alone.unwrap_or(component.sampling);
                for block in 0..across * down {
                    let x = unit % units.0 * across + block % across;
                    let y = unit / units.0 * down + block / across;
                    let place = y * component.stride + x;
                    // Only progressive frames remember which coefficients are not 0.
                    let mut nonzero = component.nonzero.get(place).copied().unwrap_or(0);
                    self.block(component, tables, &mut reader, &mut nonzero)?;
                    if let Some(kept) = component.nonzero.get_mut(place) {
                        *kept = nonzero;
                    }
                }
            }
        }
        reader.finish()
    }

    /// Reads the codes of one block.
    fn block(
        &self,
        component: &Component,
        tables: &Tables,
        reader: &mut Reader,
        nonzero: &mut u64,
    ) -> Result<(), Fault> {
        if self.first == 0 {
            let size = if self.refines { 1 } else { reader.symbol(tables.dc(component)?)? };
            reader.skip(size.into())?;
        }
        let coefficients = self.first.max(1)..=self.last;
        match (coefficients.is_empty(), self.refines) {
            (true, _) => Ok(()),
            (_, false) => self.upper_bits(coefficients, tables.ac(component)?, reader, nonzero),
            (_, true) => refine(coefficients, tables.ac(component)?, reader, nonzero),
        }
    }

    /// Reads the upper bits of coefficients (in a sequential frame, all bits).
    fn upper_bits(
        &self,
        coefficients: RangeInclusive<usize>,
        codes: &Codes,
        reader: &mut Reader,
        nonzero: &mut u64,
    ) -> Result<(), Fault> {
        if reader.zero_blocks > 0 {
            reader.zero_blocks -= 1;
            return Ok(());
        }
        let mut at = *coefficients.start();
        while at <= *coefficients.end() {
            match halves(reader.symbol(codes)?) {
                (15, 0) => at += 16,
                // The rest of this block is 0, and so are this many blocks after it.
                (run, 0) if self.progressive || run == 0 => {
                    reader.zero_blocks = (1 << run) - 1 + reader.read(run)?;
                    return Ok(());
                }
                (run, size) => {
                    at += run;
                    if size == 0 || at > *coefficients.end() {
                        return Err(Fault::Damaged);
                    }
                    reader.skip(size)?;
                    *nonzero |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }
}

/// Reads one more bit of coefficients. Those that are known not to be 0 have a bit each; the others have codes.
fn refine(
    coefficients: RangeInclusive<usize>,
    codes: &Codes,
    reader: &mut Reader,
    nonzero: &mut u64,
) -> Result<(), Fault> {
    let (mut at, last) = coefficients.into_inner();
    let known = *nonzero;
    let is_known = |at: usize| known >> at & 1 == 1;
    while at <= last && reader.zero_blocks == 0 {
        let (mut run, size) = halves(reader.symbol(codes)?);
        match size {
            0 if run < 15 => {
                reader.zero_blocks = (1 << run) + reader.read(run)?;
                break;
            }
            0 => {}
            1 => reader.skip(1)?, // the sign of the coefficient
            _ => return Err(Fault::Damaged),
        }
        while at <= last && (is_known(at) || run > 0) {
            if is_known(at) {
                reader.skip(1)?;
            } else {
                run -= 1;
            }
            at += 1;
        }
        if size > 0 {
            if at > last {
                return Err(Fault::Damaged);
            }
            *nonzero |= 1 << at;
        }
        at += 1;
    }
    if reader.zero_blocks > 0 {
        let rest = (at..=last).filter(|&at| is_known(at)).count();
        for _ in 0..rest {
            reader.skip(1)?;
        }
        reader.zero_blocks -= 1;
    }
    Ok(())
}

/// A reader of the bits of codes that stops at the next marker.
struct Reader<'a> {
    bytes: &'a [u8],
    /// The offset of the next byte.
    at: usize,
    /// The bits that were read but not used yet: the lowest `bits` of this number.
    buffer: u64,
    bits: usize,
    /// The number of following blocks that have no codes.
    zero_blocks: usize,
}

impl Reader<'_> {
    /// Fills the buffer with at least 16 bits, which suffice for a code or for the bits after it, unless the codes
    /// end before.
    fn fill(&mut self) {
        while self.bits < 16 {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            let Some(&byte) = rest.first() else { return };
            let mut len = 1;
            if byte == 0xff {
                len += rest.iter().take_while(|&&byte| byte == 0xff).count();
                if rest.get(len - 1) != Some(&0) {
                    return;
                }
            }
            self.at += len;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.bits += 8;
        }
    }

    fn skip(&mut self, bits: usize) -> Result<(), Fault> {
        self.read(bits).map(|_| ())
    }

    /// Reads the next bits, of which there may be at most 16.
    fn read(&mut self, bits: usize) -> Result<usize, Fault> {
        if self.bits < bits {
            self.fill();
        }
        self.bits = self.bits.checked_sub(bits).ok_or(Fault::Truncated)?;
        Ok((self.buffer >> self.bits) as usize & ((1 << bits) - 1))
    }

    /// Reads the next code and returns its symbol.
    fn symbol(&mut self, codes: &Codes) -> Result<u8, Fault> {
        self.fill();
        // Bits after the end are 0.
        let next = (self.buffer << 16 >> self.bits) as u32 & 0xffff;
        let index = codes.lengths.iter().position(|&(limit, _)| next < limit).ok_or(Fault::Damaged)?;
        let code = self.read(index + 1)?;
        let place = code as i32 + codes.lengths[index].1;
        codes.symbols.get(place as usize).copied().ok_or(Fault::Damaged)
    }

    /// Continues after the next marker, which has to be this restart marker.
    fn restart(&mut self, marker: Option<u8>) -> Result<(), Fault> {
        let at = self.finish()?;
        self.at = next_marker(self.bytes, at).ok_or(Fault::Truncated)?;
        let found = self.bytes[self.at - 1];
        (self.buffer, self.bits, self.zero_blocks) = (0, 0, 0);
        match found {
            _ if Some(found) == marker => Ok(()),
            _ if RESTARTS.contains(&found) => Err(Fault::Damaged),
            _ => Err(Fault::Truncated),
        }
    }

    /// Checks that the codes end here, and returns the offset of their end.
    fn finish(&self) -> Result<usize, Fault> {
        let unused = next_marker(self.bytes, self.at).map_or(0, |next| next - 2 - self.at);
        if self.zero_blocks > 0 || unused > UNUSED {
            return Err(Fault::Damaged);
        }
        Ok(self.at)
    }
}
