#!/usr/bin/env bash
# Runs the checks that take too long for every change: whether all crates compile from their packages, how well 60
# photographs of each kind are read, whether projects for many networks and for every board are what `vit-train new`
# promises, whether C programs work on every kind of core, how many instructions an inference takes on each chip, and
# whether the tests notice every mutation of the arithmetic. It is run by hand, and BENCHMARKS.md records the results with
# their date.
#
#   tests/long.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/all.sh tools
# A package is compiled without this workspace's profile, so that it gets a target directory of its own.
cargo package --package vit-nostd --package vit-link --package vit-c --package vit-train --target-dir target/packages
PICTURES_OF_A_KIND=60 cargo test -p vit-train --lib photographs_are -- --nocapture
MANY_PROJECTS=1 cargo test -p vit-tests --test outside -- project --nocapture
MANY_C=1 cargo test -p vit-tests --test c -- --nocapture
cargo run --release -p vit-tests --bin fit-instructions
cargo run --release -p vit-tests --bin chip-bench
tests/mutations.sh
