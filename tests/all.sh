#!/usr/bin/env bash
# All that must hold, in one command: installs what is missing, checks everything, ends with a verdict.
#
#   bash tests/all.sh
#
# Tests on real data run where the environment variable MNIST_DIR names the folder of MNIST's four files.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
root=$PWD

host=(--workspace --exclude firmware-example)
# That the library is built for.
chips=(thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf thumbv7em-none-eabi thumbv8m.main-none-eabihf)
# That the library is built for, too: RISC-V.
other_chips=(riscv32imac-unknown-none-elf)
passed=0 failed=0 summary=

# step NAME COMMAND...: runs the command and remembers how it went.
step() {
    local name=$1 start=$SECONDS verdict
    shift
    printf '\n==== %s\n' "$name"
    if "$@"; then
        verdict=ok passed=$((passed + 1))
    else
        verdict=FAILED failed=$((failed + 1))
    fi
    summary+=$(printf '%-6s %4d s  %s' "$verdict" $((SECONDS - start)) "$name")$'\n'
}

tools() {
    command -v cc >/dev/null || tests/apt-install build-essential || return
    command -v qemu-system-arm >/dev/null || tests/apt-install qemu-system-arm || return
    tests/numpy-python -c '' 2>/dev/null || tests/apt-install python3-numpy || return
    tests/nvrtc || { tests/apt-install python3-pip && tests/nvrtc; } || return
    cargo fmt --version >/dev/null || rustup component add rustfmt || return
    cargo clippy --version >/dev/null || rustup component add clippy
}

# The library by itself, so that no other crate of the workspace lends it a feature.
bare_library() {
    local target feature features
    features=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z0-9-]*\) = .*/\1/p' vit-nostd/Cargo.toml)
    for target in "${chips[@]}" "${other_chips[@]}"; do
        for feature in $features; do
            echo "$target, feature $feature"
            in_firmware ../tests/chip-cargo check --quiet --release --package vit-nostd --target "$target" \
                --no-default-features --features "$feature" || return
        done
    done
}

# With the oldest compiler that Cargo.toml promises. Where rustup does not get it, clippy (incompatible_msrv) has at
# least looked for what is younger in `core`.
oldest_rust() {
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if timeout 120 rustup toolchain install "$version" --profile minimal >/dev/null 2>&1; then
        cargo "+$version" check --quiet --package vit-nostd --all-features --target-dir target/oldest-rust
    else
        echo "left out: rustup does not get Rust $version"
    fi
}

# Where NVIDIA's libraries are found, unless they are found elsewhere: see tests/nvrtc.
export VIRTUAL_ENV=${VIRTUAL_ENV:-$root/target/nvrtc}

# The dev profile is tuned for training, without these checks. Not optimised as much as there: compiling takes longest.
checked() {
    CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_OVERFLOW_CHECKS=true CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=true "$@"
}

# What runs on a GPU, on a stand-in for one.
stand_in_gpu() {
    tests/stand_in_gpu/build || return
    LD_LIBRARY_PATH=$root/target/stand_in_gpu VIT_TRAIN_TEST_GPU=required \
        cargo test "${host[@]}" --lib cuda:: -- --test-threads 1 # all crates, as before: one would be compiled anew
}

# in_firmware COMMAND...: in the firmware's folder, with its settings.
in_firmware() (
    cd "$root/firmware-example" && "$@"
)

step "tools" tools
step "Cargo.lock is up to date" bash -c 'cargo metadata --locked --format-version 1 >/dev/null'
step "format" cargo fmt --all --check
step "clippy, host" cargo clippy --quiet "${host[@]}" --all-targets -- -D warnings
# What is behind that feature needs a GPU to be run, but not to be checked.
step "clippy, dfdx's own CUDA device" cargo clippy --quiet "${host[@]}" --lib --profile test \
    --features vit-train/dfdx-cuda-check -- -D warnings
step "clippy, firmware" in_firmware ../tests/chip-cargo clippy --quiet --release -- -D warnings
step "clippy, firmware for a small chip" \
    in_firmware ../tests/chip-cargo clippy --quiet --release --target thumbv6m-none-eabi -- -D warnings
for board in nrf52840-dk,probe netduinoplus2; do
    step "clippy, firmware for a board: $board" \
        in_firmware ../tests/chip-cargo clippy --quiet --release --features "$board" -- -D warnings
done
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet "${host[@]}" --no-deps
step "vit-nostd on bare metal" bare_library
step "vit-nostd with the oldest Rust" oldest_rust
step "vit-nostd as a package" cargo package --quiet --package vit-nostd --allow-dirty
step "tests" cargo test --no-fail-fast "${host[@]}"
step "a stand-in for a GPU" stand_in_gpu
step "vit-nostd with overflow checks" checked cargo test --package vit-nostd --features micromath
# The commands of the README's table of boards.
for board in microbit mps2-an385 mps2-an386 mps2-an500 mps2-an505 stm32vldiscovery netduinoplus2; do
    step "firmware on $board" in_firmware ../tests/chip-cargo "$board" --quiet
done

printf '\n%s\n%d passed, %d failed\n' "$summary" "$passed" "$failed"
[ "$failed" = 0 ]
