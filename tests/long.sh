#!/usr/bin/env bash
# What takes too long for each change: is every mutation of the arithmetic noticed, how are 60 photographs of each kind
# read, and how many instructions does each chip take? It is run by hand, and BENCHMARKS.md records the results with
# their date.
#
#   tests/long.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/all.sh tools
PICTURES_OF_A_KIND=60 cargo test -p vit-train --lib photographs_are -- --nocapture
cargo run --release -p vit-tests --bin chip-bench
tests/mutations.sh
