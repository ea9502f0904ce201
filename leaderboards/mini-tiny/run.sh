#!/usr/bin/env bash
# The board of suite mini with the model tiny: run, export, verify, page.
#
#   leaderboards/mini-tiny/run.sh [RUNS [OPTION...]]     RUNS: folder of the fits (default: runs-mini-tiny); options of `snibench run`
#
# Rows: those of rows.txt, with the baseline unified-prompt; four of them are of plugins/snibench-peft, which must be installed. Quick profile, five
# seeds, all three protocols, learning rates that were searched for (docs/recipe.md). Stopped or killed, the same command goes on. To try the
# way: run.sh runs-try --seeds 0 --steps 2 --limit 1
#
# The board in the repository was made in two goes, some rows before the others, and joined by `snibench leaderboard merge`: the untuned model and the
# baseline were in both, with the same answers. Each entry names its commit.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=${1:-runs-mini-tiny}
mapfile -t rows < "$here/rows.txt"
snibench run "${rows[@]/#/--method=}" -o "$runs" --seeds 0-4 --conflict ends "${@:2}"
snibench leaderboard export "$runs" -o "$here/board.json" --author "The snibench authors"
snibench leaderboard verify "$here/board.json"
snibench leaderboard page "$here/board.json"
