#!/usr/bin/env bash
# Runs all checks: installs missing tools, runs every step, and ends with a summary.
#
#   bash tests/all.sh              runs all steps
#   bash tests/all.sh STEP...      runs some of them
#   bash tests/all.sh --list       prints the names of the steps
#
# Tests on real data run only if the environment variable MNIST_DIR names the folder of MNIST's four files.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
root=$PWD

# The steps in their order. Each is a function `step_NAME` below, with _ in place of -.
steps=(
    tools lock format clippy clippy-cuda clippy-firmware doc bare-metal oldest-rust package
    tests stand-in-gpu overflow-checks firmware
)

# The crates that are built for the host.
host=(--workspace --exclude firmware-example --exclude test-firmware --exclude vit-boards)
# The targets that the library is built for: those of the chips, and one of RISC-V.
targets=(
    thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf thumbv7em-none-eabi thumbv8m.main-none-eabihf
    riscv32imac-unknown-none-elf
)
# The emulated boards.
boards=(microbit mps2-an385 mps2-an386 mps2-an500 mps2-an505 stm32vldiscovery netduinoplus2)
# The virtual environment with NVIDIA's libraries; by default, tests/nvrtc installs them there.
export VIRTUAL_ENV=${VIRTUAL_ENV:-$root/target/nvrtc}

# Firmware takes much longer to link with debug information, which changes neither its code nor its log.
export CARGO_PROFILE_RELEASE_DEBUG=0

# Installs what the other steps need.
step_tools() {
    command -v cc >/dev/null || tools/apt-install build-essential || return
    command -v qemu-system-arm >/dev/null || tools/apt-install qemu-system-arm || return
    [ -f "$(arm-none-eabi-gcc -print-file-name=libc_nano.a 2>/dev/null)" ] ||
        tools/apt-install gcc-arm-none-eabi libnewlib-arm-none-eabi || return
    command -v cmake >/dev/null || tools/apt-install cmake || return
    tests/numpy-python -c '' 2>/dev/null || tools/apt-install python3-numpy || return
    tests/onnx-python -c '' 2>/dev/null || { tools/apt-install python3-pip && tests/onnx-python -c ''; } || return
    tests/nvrtc || { tools/apt-install python3-pip && tests/nvrtc; } || return
    cargo fmt --version >/dev/null || rustup component add rustfmt || return
    cargo clippy --version >/dev/null || rustup component add clippy
}

# Checks that Cargo.lock is up to date.
step_lock() {
    cargo metadata --locked --format-version 1 >/dev/null
}

step_format() {
    cargo fmt --all --check
}

step_clippy() {
    cargo clippy --quiet "${host[@]}" --all-targets -- -D warnings
}

# Checks the code for dfdx's own CUDA device, which needs a GPU only to be run.
step_clippy_cuda() {
    cargo clippy --quiet "${host[@]}" --lib --profile test --features vit-train/dfdx-cuda-check -- -D warnings
}

# Checks the firmware for the default chip and for the smallest one, and the boards' library for real boards, those of one
# target together.
step_clippy_firmware() {
    local firmware="--package firmware-example --package test-firmware" options
    for options in "$firmware" "$firmware --target thumbv6m-none-eabi" \
        "--package vit-boards --features netduinoplus2,nrf52840-dk,nucleo-h743zi,nucleo-l4r5zi,probe" \
        "--package vit-boards --target thumbv6m-none-eabi --features pico,probe" \
        "--package vit-boards --target thumbv8m.main-none-eabihf --features pico2,probe"; do
        # shellcheck disable=SC2086 # the options are several words
        in_firmware ../tools/chip-cargo clippy --quiet --release $options -- -D warnings || return
    done
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet "${host[@]}" --no-deps &&
        RUSTDOCFLAGS="-D warnings" in_firmware ../tools/chip-cargo doc --quiet --no-deps --package vit-boards \
            --features nucleo-l4r5zi
}

# Checks the library by itself, so that no other crate of the workspace enables a feature that it needs: on the first
# target with each feature alone, and on every target with none and with all of them.
step_bare_metal() {
    local target feature features
    features=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z0-9-]*\) = .*/\1/p' vit-nostd/Cargo.toml)
    for feature in $features; do
        check_library "${targets[0]}" --features "$feature" || return
    done
    for target in "${targets[@]}"; do
        check_library "$target" || return
        check_library "$target" --all-features || return
    done
}

# check_library TARGET OPTION...: checks vit-nostd for a target.
check_library() {
    echo "$*"
    in_firmware ../tools/chip-cargo check --quiet --release --package vit-nostd --no-default-features --target "$@"
}

# Checks the library with the oldest compiler that Cargo.toml promises to support. If rustup cannot install it, clippy
# has at least checked for newer items of `core` (incompatible_msrv).
step_oldest_rust() {
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if timeout 120 rustup toolchain install "$version" --profile minimal >/dev/null 2>&1; then
        cargo "+$version" check --quiet --package vit-nostd --all-features --target-dir target/oldest-rust
    else
        echo "skipped: rustup cannot install Rust $version"
    fi
}

# Packages the published crates and compiles the two small ones from their packages. `tests/long.sh` also compiles
# `vit-train` from its package, which takes minutes.
step_package() {
    cargo package --quiet --allow-dirty --package vit-nostd --package vit-link &&
        cargo package --quiet --allow-dirty --package vit-nostd --package vit-link --package vit-c --package vit-train \
            --package vit-boards --no-verify
}

step_tests() {
    cargo test --no-fail-fast "${host[@]}"
}

# Tests the code for GPUs on a stand-in for one. The command selects the same crates and features as the step `tests`,
# so that nothing is compiled again.
step_stand_in_gpu() {
    tests/stand_in_gpu/build || return
    LD_LIBRARY_PATH=$root/target/stand_in_gpu VIT_TRAIN_TEST_GPU=required \
        cargo test "${host[@]}" --lib cuda:: -- --test-threads 1
}

# Tests the library with overflow checks and debug assertions, which the dev profile disables because it is tuned for
# training.
step_overflow_checks() {
    local profile=profile.dev.package.vit-nostd
    cargo --config $profile.opt-level=1 --config $profile.overflow-checks=true --config $profile.debug-assertions=true \
        test --package vit-nostd --features micromath
}

# The commands of the guide's table of boards.
step_firmware() {
    local board
    for board in "${boards[@]}"; do
        echo "$board"
        in_firmware ../tools/chip-cargo "$board" --quiet || return
    done
}

# in_firmware COMMAND...: runs the command in the firmware's folder, with its cargo settings.
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
        echo "error: there is no step \"$name\"; the steps are: ${steps[*]}" >&2
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
