#!/usr/bin/env bash
# All that must hold, in one command: installs what is missing, checks everything, ends with a verdict.
#
#   bash tests/all.sh              all steps
#   bash tests/all.sh STEP...      some of them
#   bash tests/all.sh --list       their names
#
# Tests on real data run where the environment variable MNIST_DIR names the folder of MNIST's four files.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
root=$PWD

# All steps, in this order: each is the function `step_NAME` below, with _ for -.
steps=(
    tools lock format clippy clippy-cuda clippy-firmware doc bare-metal oldest-rust package
    tests stand-in-gpu overflow-checks firmware
)

# The crates that are built for the host.
host=(--workspace --exclude firmware-example --exclude test-firmware)
# The targets that the library is built for: those of the chips, and one of RISC-V.
targets=(
    thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf thumbv7em-none-eabi thumbv8m.main-none-eabihf
    riscv32imac-unknown-none-elf
)
# The emulated boards.
boards=(microbit mps2-an385 mps2-an386 mps2-an500 mps2-an505 stm32vldiscovery netduinoplus2)
# Where NVIDIA's libraries are found, unless they are found elsewhere: see tests/nvrtc.
export VIRTUAL_ENV=${VIRTUAL_ENV:-$root/target/nvrtc}

# Installs what the other steps need.
step_tools() {
    command -v cc >/dev/null || tools/apt-install build-essential || return
    command -v qemu-system-arm >/dev/null || tools/apt-install qemu-system-arm || return
    tests/numpy-python -c '' 2>/dev/null || tools/apt-install python3-numpy || return
    tests/nvrtc || { tools/apt-install python3-pip && tests/nvrtc; } || return
    cargo fmt --version >/dev/null || rustup component add rustfmt || return
    cargo clippy --version >/dev/null || rustup component add clippy
}

# Is Cargo.lock up to date?
step_lock() {
    cargo metadata --locked --format-version 1 >/dev/null
}

step_format() {
    cargo fmt --all --check
}

step_clippy() {
    cargo clippy --quiet "${host[@]}" --all-targets -- -D warnings
}

# dfdx's own CUDA device needs a GPU to be run, but not to be checked.
step_clippy_cuda() {
    cargo clippy --quiet "${host[@]}" --lib --profile test --features vit-train/dfdx-cuda-check -- -D warnings
}

# For a chip, for a small one, and for boards that are built in another way.
step_clippy_firmware() {
    local options
    for options in "" "--target thumbv6m-none-eabi" "--features nrf52840-dk,probe" "--features netduinoplus2,probe"; do
        # shellcheck disable=SC2086 # the options are several words
        in_firmware ../tools/chip-cargo clippy --quiet --release --package firmware-example --package test-firmware \
            $options -- -D warnings || return
    done
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet "${host[@]}" --no-deps
}

# The library by itself, so that no other crate of the workspace lends it a feature.
step_bare_metal() {
    local target feature features
    features=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z0-9-]*\) = .*/\1/p' vit-nostd/Cargo.toml)
    for target in "${targets[@]}"; do
        for feature in $features; do
            echo "$target, feature $feature"
            in_firmware ../tools/chip-cargo check --quiet --release --package vit-nostd --target "$target" \
                --no-default-features --features "$feature" || return
        done
    done
}

# The library with the oldest compiler that Cargo.toml promises. If rustup does not get it, clippy (incompatible_msrv)
# has at least looked for what is younger in `core`.
step_oldest_rust() {
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if timeout 120 rustup toolchain install "$version" --profile minimal >/dev/null 2>&1; then
        cargo "+$version" check --quiet --package vit-nostd --all-features --target-dir target/oldest-rust
    else
        echo "left out: rustup does not get Rust $version"
    fi
}

# The library as a package.
step_package() {
    cargo package --quiet --package vit-nostd --allow-dirty
}

step_tests() {
    cargo test --no-fail-fast "${host[@]}"
}

# What runs on a GPU, on a stand-in for one: by the test programs of the step `tests`, which other crates or features
# would compile again.
step_stand_in_gpu() {
    tests/stand_in_gpu/build || return
    LD_LIBRARY_PATH=$root/target/stand_in_gpu VIT_TRAIN_TEST_GPU=required \
        cargo test "${host[@]}" --lib cuda:: -- --test-threads 1
}

# The library with overflow checks and debug assertions, which the dev profile leaves out because it is tuned for
# training.
step_overflow_checks() {
    local profile=profile.dev.package.vit-nostd
    cargo --config $profile.opt-level=1 --config $profile.overflow-checks=true --config $profile.debug-assertions=true \
        test --package vit-nostd --features micromath
}

# The commands of the README's table of boards.
step_firmware() {
    local board
    for board in "${boards[@]}"; do
        echo "$board"
        in_firmware ../tools/chip-cargo "$board" --quiet || return
    done
}

# in_firmware COMMAND...: in the firmware's folder, with its settings.
in_firmware() (
    cd "$root/firmware-example" && "$@"
)

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${steps[@]}"
    exit
fi
[ $# != 0 ] || set -- "${steps[@]}"
for name in "$@"; do
    [[ " ${steps[*]} " == *" $name "* ]] || {
        echo "error: no step is called \"$name\". The steps are: ${steps[*]}" >&2
        exit 2
    }
done

passed=0 failed=0 summary=
for name in "$@"; do
    printf '\n==== %s\n' "$name"
    start=$SECONDS verdict=ok
    "step_${name//-/_}" || verdict=FAILED
    if [ "$verdict" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    summary+=$(printf '%-6s %4d s  %s' "$verdict" $((SECONDS - start)) "$name")$'\n'
done
printf '\n%s\n%d passed, %d failed\n' "$summary" "$passed" "$failed"
[ "$failed" = 0 ]
