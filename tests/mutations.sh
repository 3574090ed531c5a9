#!/usr/bin/env bash
# Checks that the tests notice errors. It changes one line at a time of the integer engine, of its independent reference,
# or of the resizing of frames, in a copy of this checkout. Every change must make the tests fail. It ends with a table. (The mutations
# named `VNNI` need a processor with AVX-512 VNNI.)
#
#   tests/mutations.sh [NAME...]      (only the mutations whose names begin with one of these)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

engine=vit-nostd/src/int8
kernels=vit-nostd/src/int8/kernels
reference=vit-train/src/verify/reference/int8.rs
frame=vit-nostd/src/frame

# The name of each mutation, its file, and the command of `sed` for it, which must change exactly one line.
mutations=(
    "engine: rounding, halves down" "$engine/requantize.rs" 's/(1 << (shift - 17))) >>/(1 << (shift - 17)) - 1) >>/'
    "engine: rounding, none" "$engine/requantize.rs" 's/(product + (1 << (shift - 17)))/product/'
    "engine: saturation at -127" "$engine/requantize.rs" 's/i32::from(i8::MIN), i32::from(i8::MAX)/-127, 127/'
    "engine: no saturation of the residual stream" "$kernels/portable.rs" 's/sat16(i32::from(\*self) + value)/(i32::from(*self) + value) as i16/'
    "engine: a bias too large by 1" "$kernels/portable.rs" 's/bias\[channel\] + sum/(bias[channel] | 1) + sum/'
    "engine: a multiplier too large by 1" "$engine/requantize.rs" 's/i64::from(multiplier)) >> 16) as i32/i64::from(multiplier | 1)) >> 16) as i32/'
    "engine: zero point of pixels" "$engine/mod.rs" 's/i16::from(level) - 128/i16::from(level) - 127/'
    "engine: square patches" "$engine/mod.rs" 's/n % N::GRID_WIDTH \* N::PATCH_WIDTH/n % N::GRID_WIDTH * N::PATCH_HEIGHT/'
    "engine: GELU table, next entry" "$engine/mod.rs" 's/(i16::from(\*h) + 128) as u8/(i16::from(*h) + 127) as u8/'
    "engine: exponential table, last entry" "$engine/softmax.rs" 's/clamp(0, 255) as u8/clamp(0, 254) as u8/'
    "engine: attention, a shift too small by 1" "$engine/softmax.rs" 's/+ bits - 9) as u8/+ bits - 10) as u8/'
    "engine: attention, a sum of 17 bits" "$engine/softmax.rs" 's/sum >> (bits - 16)/sum >> (bits - 17)/'
    "engine: attention, a quotient rounded up" "$engine/softmax.rs" 's/ \/ (normal | 1 << 15);/.div_ceil(normal | 1 << 15);/'
    "engine: largest score at least 0" "$engine/softmax.rs" 's/fold(i32::MIN, i32::max)/fold(0, i32::max)/'
    "engine: isqrt rounded up" "$engine/layer_norm.rs" 's/root(variance << (2 \* e))/root((variance << (2 * e)) - 1) + 1/'
    "engine: isqrt, not corrected" "$engine/layer_norm.rs" 's/    root - u32::from(.*/    root/'
    "engine: LayerNorm, shift" "$engine/layer_norm.rs" 's/(norm.shift - e) as u8/(norm.shift - e + 1) as u8/'
    "engine: LayerNorm, the factor of narrow rows for all" "$engine/layer_norm.rs" 's/    if width <= 128 {/    if width <= 256 {/'
    "engine: LayerNorm, epsilon left out" "$engine/layer_norm.rs" 's/ + norm.epsilon;/ + 1024;/'
    "engine: a product by halves without its carry" "$engine/requantize.rs" 's/ + (low >> 16) as i32$//'
    "portable: attention, not saturated" "$kernels/portable.rs" 's/sat8(requantize::<P>(sum, scale))/requantize::<P>(sum, scale) as i8/'
    "portable: attention, a last group left out" "$kernels/portable.rs" 's/None => .*,$/None => {}/'
    "portable: attention of the first head only" "$kernels/portable.rs" 's/let mut channel = head \* N::HEAD_DIM/let mut channel = 0 * head/'
    "portable: scores of the first head only" "$kernels/portable.rs" 's/let channels = head \* N::HEAD_DIM..(head + 1)/let channels = 0 * head..1/'
    "AVX2: rounding, none" "$kernels/x86_64/requantize.rs" 's/_mm256_add_epi32(_mm256_add_epi32(high, low), scales.half)/_mm256_add_epi32(high, low)/'
    "AVX2: rounding, halves down" "$kernels/x86_64/requantize.rs" 's/half: \(_mm256.*\),$/half: _mm256_sub_epi32(\1, _mm256_set1_epi32(1)),/'
    "AVX2: a product without its lower half" "$kernels/x86_64/requantize.rs" 's/_mm256_add_epi32(high, low)/high/'
    "AVX2: a shift too small by 1" "$kernels/x86_64/requantize.rs" 's/_mm256_sub_epi32(shift, _mm256_set1_epi32(16))/_mm256_sub_epi32(shift, _mm256_set1_epi32(17))/'
    "AVX2: saturation, none" "$kernels/x86_64/linear.rs" 's/_mm_packs_epi16(words, words)/[cast::<_, [i16; 8]>(words).map(|word| word as i8); 2]/'
    "AVX2: no saturation of the residual stream" "$kernels/x86_64/linear.rs" 's/cast(_mm_packs_epi32(low, high))/cast(cast::<_, [i32; 8]>([low, high]).map(|sum| sum as i16))/'
    "AVX2: residual stream not added to" "$kernels/x86_64/linear.rs" 's/_mm_add_epi32(high, \(.*\));$/high;/'
    "AVX2: bias left out" "$kernels/x86_64/linear.rs" 's/_mm256_add_epi32(\(sums\), cast(\[biases.*;$/\1;/'
    "AVX2: activations of at least -127" "$kernels/x86_64/mod.rs" 's/= i16::from(value))/= i16::from(value).max(-127))/'
    "AVX2: the second of two tokens left out" "$kernels/x86_64/mod.rs" 's/(2, false) => linear::linear::<R, O, 2>/(2, false) => linear::linear::<R, O, 1>/'
    "AVX2: the last values of a row left out" "$kernels/x86_64/products.rs" 's/(!len.is_multiple_of(LANES))/(len == 0)/'
    "AVX2: the first token instead of all" "$kernels/x86_64/products.rs" 's/rows.next().unwrap_or_default()), len)/rows.clone().next().unwrap_or_default()), len)/'
    "AVX2: half of each sum" "$kernels/x86_64/products.rs" 's/_mm256_permute2x128_si256::<0x31>(ab, cd)/_mm256_permute2x128_si256::<0x20>(ab, cd)/'
    "AVX2: scores of the neighbouring head" "$kernels/x86_64/attention.rs" 's/padded.as_mut().get_mut(channel - begin..)/padded.as_mut().get_mut(0..)/'
    "AVX2: scores, the last key left out" "$kernels/x86_64/attention.rs" 's/for first in (0..N::TOKENS)/for first in (0..N::TOKENS - 1)/'
    "AVX2: exponential table, last entry" "$kernels/x86_64/attention.rs" 's/_mm256_set1_epi32(255)/_mm256_set1_epi32(254)/'
    "AVX2: exponentials, the last ones not in the sum" "$kernels/x86_64/attention.rs" '/for score in rest {/,/^    }/s/sum += /sum += 0 */'
    "AVX2: one scale for all tokens" "$kernels/x86_64/attention.rs" 's/requantize(sum, Scales::all(scale))/requantize(sum, Scales::all(Scale { shift: scales[0].shift, ..scale }))/'
    "AVX2: values, the second of two left out" "$kernels/x86_64/attention.rs" 's/=> a | b << 16/=> a | (b - b) << 16/'
    "AVX2: attention, the last channels of a head" "$kernels/x86_64/attention.rs" 's/channel.min(N::HEAD_DIM - EIGHT)/channel/'
    "AVX2: attention, not saturated" "$kernels/x86_64/attention.rs" 's/\*out = sat8(value)/*out = value as i8/'
    "AVX2: LayerNorm, the last values left out" "$kernels/x86_64/layer_norm.rs" 's/zip(normalised)/zip([0; EIGHT])/'
    "AVX2: LayerNorm, squares as signed" "$kernels/x86_64/layer_norm.rs" 's/_mm256_cvtepu32_epi64(_mm_madd/core::arch::x86_64::_mm256_cvtepi32_epi64(_mm_madd/'
    "AVX2: LayerNorm, not saturated" "$kernels/x86_64/layer_norm.rs" 's/_mm_packs_epi16(words, words)/[cast::<_, [i16; 8]>(words).map(|word| word as i8); 2]/'
    "VNNI: weights as they are" "$kernels/x86_64/vnni.rs" 's/_mm256_xor_si256(cast(values), _mm256_set1_epi8(ZERO))/cast(values)/'
    "VNNI: an excess for the first row only" "$kernels/x86_64/vnni.rs" 's/sums\[1\] = sums\[0\];//'
    "VNNI: the last values not in the excess" "$kernels/x86_64/products.rs" 's/\.iter()\.chain(rest)/.iter().chain(rest.filter(|_| LANES == 16))/'
    "VNNI: the second of two tokens left out" "$kernels/x86_64/mod.rs" 's/(2, true) => linear::linear_vnni::<R, O, 2>/(2, true) => linear::linear_vnni::<R, O, 1>/'
    "reference: rounding, halves down" "$reference" 's/(half + one)/(half + one - 1.0)/'
    "reference: saturation at -127" "$reference" 's/x.clamp(-128.0, 127.0)/x.clamp(-127.0, 127.0)/'
    "reference: saturation at -32767" "$reference" 's/x.clamp(-32768.0, 32767.0)/x.clamp(-32767.0, 32767.0)/'
    "reference: a bias too large by 1" "$reference" 's/requantize(sums + bias,/requantize(sums + bias + 1.0,/'
    "reference: multipliers below 2^14" "$reference" 's/at_most(32767.0, quotient(self/at_most(16384.0, quotient(self/'
    "reference: zero point of pixels" "$reference" 's/levels - 128.0/levels - 127.0/'
    "reference: LayerNorm, the factor of narrow rows for all" "$reference" 's/256.0 } else { 128.0/256.0 } else { 256.0/'
    "reference: GELU table, next entry" "$reference" 's/hidden + 128.0/hidden + 127.0/'
    "reference: exponential table, last entry" "$reference" 's/at_most(255.0, steps)/at_most(254.0, steps)/'
    "reference: attention, a shift too small by 1" "$reference" 's/self.context_scale.power \* power_of_two(7)/self.context_scale.power * power_of_two(6)/'
    "reference: attention, a sum that is not rounded" "$reference" 's/(floor(scaled), power)/(scaled, power)/'
    "reference: isqrt not rounded" "$reference" 's/floor(v.sqrt())/v.sqrt()/'
    "frame: aspect ratio upside down" "$frame/fit.rs" 's/> height \* across.get();/< height * across.get();/'
    "frame: a crop without pixels" "$frame/fit.rs" 's/(width \* down.get() \/ across).max(1)/(width * down.get() \/ across).max(0)/'
    "frame: the odd pixel of a crop at the left" "$frame/fit.rs" 's/saturating_sub(view.get()) \/ 2;/saturating_sub(view.get()).div_ceil(2);/'
    "frame: the odd pixel of a padding at the left" "$frame/fit.rs" 's/saturating_sub(frame.get()) \/ 2 /saturating_sub(frame.get()).div_ceil(2) /'
    "frame: padding in the first pixel left out" "$frame/fit.rs" 's/first: divide(uncovered)/first: divide(view.get())/'
    "frame: rounding, none" "$frame/mod.rs" 's/ + half) \/ area/) \/ area/'
    "frame: rounding, halves down" "$frame/mod.rs" 's/let half = area.get() \/ 2;/let half = (area.get() - 1) \/ 2;/'
    "frame: a part of one unit left out" "$frame/mod.rs" 's/if part > 0 {/if part > 1 {/'
    "frame: no carry of parts" "$frame/mod.rs" 's/^            count += 1;/            count += 0;/'
    "frame: the last row before the padding left out" "$frame/mod.rs" 's/\(self.lines == self.rows.shown.end\) && .* {/\1 \&\& false {/'
    "frame: sums of the last row kept" "$frame/mod.rs" 's/\*sums = \[0; CHANNELS\];//'
    "frame: sums not cleared at first" "$frame/mod.rs" 's/sums.fill(0);//'
    "frame: padding not cleared" "$frame/mod.rs" 's/image.fill(0);.*//'
    "frame: lines outside the view count" "$frame/mod.rs" 's/if self.rows.shown.contains(&self.lines) {/if true {/'
    "frame: a line too many accepted" "$frame/mod.rs" 's/if self.lines == self.frame.height {/if false {/'
    "frame: a frame that is too large" "$frame/mod.rs" 's/if width > MAX_SIDE || height > MAX_SIDE {/if width > MAX_SIDE {/'
    "frame: a line of YUV with an odd pixel" "$frame/pixels.rs" 's/matches!(self, Self::Yuyv | Self::Uyvy)/matches!(self, Self::Yuyv)/'
    "frame: weight of red" "$frame/pixels.rs" 's/77 \* red/76 * red/'
    "frame: grey, not rounded" "$frame/pixels.rs" 's/29 \* blue + 128) >> 8/29 * blue) >> 8/'
    "frame: high bits of green not repeated" "$frame/pixels.rs" 's/green << 2 | green >> 4/green << 2/'
    "frame: packed green, other bits repeated" "$frame/pixels.rs" 's/(high_bits >> 21) \/ 16/(high_bits >> 21) \/ 32/'
    "frame: packed red, a field too small" "$frame/pixels.rs" 's/(values >> 11 & 0x3FF)/(values >> 11 \& 0x7F)/'
    "frame: packed, one pixel of two twice" "$frame/pixels.rs" 's/\[both, both.rotate_left(16)\]/[both, both]/'
    "frame: packed, a single pixel left out" "$frame/pixels.rs" 's/rgb_of_565(number(bytes)))(rest);/rgb_of_565(number(bytes)))(\&[]);/'
    "frame: two pixels left out" "$frame/pixels.rs" 's/count >= 2 && self.take_group/count > 2 \&\& self.take_group/'
    "frame: YUV, the luma of the neighbour" "$frame/pixels.rs" 's/if pixel.is_multiple_of(2) { first }/if !pixel.is_multiple_of(2) { first }/'
    "frame: YUV, half a pair left out" "$frame/pixels.rs" 's/if self.pixels.start < end && .* {/if false {/'
    "frame: YUV, blue from V" "$frame/pixels.rs" 's/y + 516 \* u/y + 516 * v/'
    "frame: YUV, black at 15" "$frame/pixels.rs" 's/i32::from(y) - 16/i32::from(y) - 15/'
    "frame: YUV, not clamped" "$frame/pixels.rs" 's/clamp(0, 255) as u32/clamp(-1, 256) as u32/'
)

work=$PWD/target/mutations
copy=$work/tree
export CARGO_TARGET_DIR=$work/target
# Compiling takes longer than the tests, so that little is optimised.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false
trap 'rm -rf "$copy"' EXIT

# tests_of FILE: runs the cheapest tests that must notice a change of the file.
tests_of() {
    case $1 in
        "$engine"/* | "$kernels"/*) cargo test --quiet --no-fail-fast --package vit-nostd --lib --test int8 -- int8 engine roots ;;
        "$frame"/*) cargo test --quiet --no-fail-fast --package vit-nostd --test frame --test specification ;;
        *) cargo test --quiet --package vit-tests --test int8_reference -- small roots ;;
    esac
}

# The copies get a new modification time, so that cargo does not reuse what an earlier run has built from a mutated
# file.
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read | tar --extract --touch --directory="$copy"
cd "$copy"

# passes_unchanged FILE: checks, once for each group of tests, that they pass before anything is changed.
declare -A passed
passes_unchanged() {
    local group=engine
    [ "$1" != "$reference" ] || group=reference
    [[ $1 != "$frame"/* ]] || group=frame
    [ -z "${passed[$group]:-}" ] || return 0
    echo "running the tests of the $group without a mutation"
    tests_of "$1" >"$work/log" 2>&1 || {
        cat "$work/log"
        echo "error: the tests of the $group fail without a mutation (their output is above)" >&2
        exit 1
    }
    passed[$group]=1
}

table='' bad=0
for ((i = 0; i < ${#mutations[@]}; i += 3)); do
    name=${mutations[i]} file=${mutations[i + 1]} change=${mutations[i + 2]}
    wanted=$(($# == 0))
    for prefix; do
        [[ $name != "$prefix"* ]] || wanted=1
    done
    [ "$wanted" = 1 ] || continue
    passes_unchanged "$file"

    cp "$file" "$work/original"
    sed -i "$change" "$file"
    changed=$(diff "$work/original" "$file" | grep -c '^>' || true)
    caught=''
    if [ "$changed" != 1 ]; then
        verdict="CHANGES $changed LINES"
    elif tests_of "$file" >"$work/log" 2>&1; then
        verdict=SURVIVED
    else
        # A mutation that does not compile proves nothing.
        caught=$(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$work/log" | sort -u | paste -sd ' ')
        verdict=${caught:-DOES NOT COMPILE}
    fi
    cp "$work/original" "$file"
    [ -n "$caught" ] || bad=$((bad + 1))
    printf '%-46s %s\n' "$name" "$verdict"
    table+="| $name | $verdict |"$'\n'
done

printf '\n| mutation | caught by |\n|---|---|\n%s\n%d not caught\n' "$table" "$bad"
[ "$bad" = 0 ]
