#!/usr/bin/env bash
# The board of six methods on Super-NaturalInstructions with SmolLM2-135M-Instruct: run, export, verify, page.
#
#   leaderboards/sni-smollm2/run.sh DATA MODEL [RUNS]
#
#   DATA   folder of tasks in the official layout (snibench data fetch sni DATA)
#   MODEL  HuggingFaceTB/SmolLM2-135M-Instruct, or a file such as SmolLM2-135M-Instruct.Q4_1.gguf
#   RUNS   folder of the fits (default: runs-sni-smollm2). Stopped or killed, the same command goes on.
#
# Size, by the plan's own words (--dry-run, a folder of 602 task files, split families): 160 seen and 24 unseen tasks; 48 of them, half and half,
# asked 20 questions each by `gap`; 1,557 different prompts a fit in all three protocols; 18 fits are tuned, each on 96 steps of 4 tasks x 4
# instances = 1,536 training instances; the plan finds differences on unseen tasks from about 8.0 points on with 80 % power (from stored runs of mini with tiny).
# Time: with bfloat16 two idle cores train about 4 instances a second (docs/performance.md), so that the 27,648 training instances take
# about two hours at the speed of plain LoRA, and more with a second pass. Answering comes on top: add --dry-run --probe to `ask` for
# an estimate on your machine. Begin it early, in the background.
#
# TRY=1 is the smallest run that takes the same way: one method, one seed, one step.
set -euo pipefail
data=$1 model=$2 runs=${3:-runs-sni-smollm2}
here=$(cd "$(dirname "$0")" && pwd)
board=$here/board.json
methods=(-m mtl-lora -m prompt-aligned -m ours -m 'lora(r=64)' -m lora+pcgrad)
size=(--tasks 160 --seeds 0-2 --steps 96 --limit 20 --set gap.tasks=48 --set gap.instances=20)
if [ "${TRY:-}" ]; then
  methods=(-m lora+pcgrad)
  size=(--tasks 32 --seeds 0 --steps 1 --limit 1 --set gap.tasks=8 --protocol gap)
  board=$runs/board.json
fi
ask=(--data "$data" --partial --split families --model "$model" "${methods[@]}" "${size[@]}" --profile quick --per-step 4,4
  --conflict ends --max-input 1024 --max-output 32 -o "$runs")
snibench run "${ask[@]}" --dry-run
snibench run "${ask[@]}"
snibench leaderboard export "$runs" -o "$board" --author "The snibench authors"
snibench leaderboard verify "$board" --data "$data"
snibench leaderboard page "$board"
