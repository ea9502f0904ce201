#!/usr/bin/env bash
# The board of every installed method and rule on suite mini with the model tiny: run, export, verify, page.
#
#   python scripts/install_plugins.py                    first, for the methods in plugins/
#   leaderboards/mini-tiny/run.sh [RUNS [OPTION...]]     RUNS: folder of the fits (default: runs-mini-tiny); options of `snibench run`
#
# Quick profile, five seeds, all three protocols. Stopped or killed, the same command goes on. Learning rates are those that were searched
# for (docs/recipe.md); an entry without one says so. To try the way: run.sh runs-try --seeds 0 --steps 2 --limit 1
set -euo pipefail
runs=${1:-runs-mini-tiny}
here=$(cd "$(dirname "$0")" && pwd)
OMP_NUM_THREADS=1 python "$here/../../scripts/all_methods.py" -o "$runs" --seeds 0-4 --conflict ends "${@:2}"
snibench leaderboard export "$runs" -o "$here/board.json" --author "The snibench authors"
snibench leaderboard verify "$here/board.json"
snibench leaderboard page "$here/board.json"
