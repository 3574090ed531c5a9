#!/usr/bin/env bash
# Runs the checks that take too long for every change: whether the tests notice every mutation of the arithmetic, how
# well 60 photographs of each kind are read, and how many instructions an inference takes on each chip. It is run by
# hand, and BENCHMARKS.md records the results with their date.
#
#   tests/long.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/all.sh tools
PICTURES_OF_A_KIND=60 cargo test -p vit-train --lib photographs_are -- --nocapture
cargo run --release -p vit-tests --bin chip-bench
tests/mutations.sh
