#!/usr/bin/env bash
# Makes .venv with all that the Makefile's targets need. Interrupted, it goes on where it stopped when run again; finished,
# it takes no time. What is done is written in .venv/install: a stamp and a log for each step.
#
#   PYTHON=python3.12       the interpreter to make .venv with
#   MIN_DISK_GB=4           free space to ask for (a CPU build of torch needs far less than the CUDA one)
#   MMCV_CPU_ONLY=1         compile mmcv's operators for the CPU although a CUDA compiler is there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly STATE=$VENV/install
readonly SUPPORTED='3.11 3.12'  # 3.11 was tried; for 3.12 every pin has a wheel; 3.10 and older are refused by the pins
# An environment that this script has made, or begun to make, has $STATE; one that it was only given has this file there too.
readonly GIVEN=$STATE/given
readonly STEPS='build torch mmcv mm dev demo package bytecode check'

say() { printf '%s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }

# --- What is there -----------------------------------------------------------------------------------------------------

python_version() {
  "$1" -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null </dev/null
}

venv_version() {  # empty where .venv is absent or half made
  "$VENV/bin/python" -c "import pip, sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null </dev/null || true
}

is_supported() {
  case " $SUPPORTED " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

step_files() {
  case $1 in
    package) say setup.py pyproject.toml lbbt_mm/version.py ;;
    bytecode) ;;
    check) say tools/doctor/doctor.py tools/doctor/checks.py tools/doctor/probe.py ;;
    *) say "requirements/$1.txt" ;;
  esac
}

# A step's key covers its own files and those of all steps before it, so that what follows a change runs again.
keys() {  # keys PYTHON_VERSION: one line "step key" for each step
  local step files=requirements/constraints.txt
  for step in $STEPS; do
    files="$files $(step_files "$step")"
    # The editable install points at this folder: a copied checkout has to install itself anew.
    # shellcheck disable=SC2086
    say "$step $( { say "$1"; cat $files; case $step in package|bytecode|check) pwd ;; esac; } | cksum | tr ' ' - )"
  done
}

is_done() {  # is_done STEP KEY
  [ -f "$STATE/$1.done" ] && [ "$(cat "$STATE/$1.done")" = "$2" ]
}

key_of() {
  say "$KEYS" | sed -n "s/^$1 //p"
}

all_done() {
  local step key
  while read -r step key; do is_done "$step" "$key" || return 1; done <<<"$KEYS"
}

# --- What has to be there: checked before anything is made --------------------------------------------------------------

choose_python() {  # sets PYTHON_EXE and PYTHON_VERSION
  local candidate version found=''
  for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
    version=$(python_version "$candidate") || continue
    if is_supported "$version"; then PYTHON_EXE=$candidate PYTHON_VERSION=$version; return; fi
    found="$candidate is Python $version"
  done
  [ -n "$found" ] || found="${PYTHON:-python3} is not there or does not run"
  die "$found, and the pinned packages need Python ${SUPPORTED/ / or } (3.11 is the one that was tried): install it," \
    'or name it as in PYTHON=python3.11 make install.'
}

check_python_parts() {
  "$PYTHON_EXE" -c 'import ensurepip, venv' 2>/dev/null </dev/null ||
    die "$PYTHON_EXE has no venv module: install it (on Debian and Ubuntu the package python$PYTHON_VERSION-venv)."
}

check_compiler() {
  local candidate include
  for candidate in "${CXX:-}" c++ g++ clang++; do
    # $CXX may carry options, so it is split on purpose.
    # shellcheck disable=SC2086
    if [ -n "$candidate" ] && command -v ${candidate%% *} >/dev/null; then CXX=$candidate; break; fi
    [ "$candidate" != clang++ ] ||
      die 'there is no C++ compiler (c++, g++, clang++ or $CXX), and mmcv is compiled: install one, on Debian and' \
        'Ubuntu the package g++.'
  done
  # shellcheck disable=SC2086
  $CXX -std=c++17 -fsyntax-only -x c++ - 2>/dev/null <<<$'#include <string_view>\nint main() { return 0; }' ||
    die "the C++ compiler $CXX does not compile a C++17 program, and mmcv needs it: install a newer one or name" \
      'another, as in CXX=g++-12 make install.'
  export CXX
  include=$("$PYTHON_EXE" -c "import sysconfig; print(sysconfig.get_path('include'))")
  [ -f "$include/Python.h" ] ||
    die "Python.h is not in $include, and mmcv is compiled against it: install the headers of Python" \
      "$PYTHON_VERSION (on Debian and Ubuntu the package python$PYTHON_VERSION-dev)."
}

check_disk() {
  local free_gb need=${MIN_DISK_GB:-10}
  free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free_gb" -ge "$need" ] ||
    die "$free_gb GB are free here and an environment with a CUDA build of torch takes about $need GB: make room, or" \
      'set MIN_DISK_GB if you know that it fits.'
}

check_ours() {  # a half made environment is repaired, one of another origin is not
  if [ -n "$VENV_VERSION" ]; then return; fi
  if [ -d "$STATE" ] && [ ! -e "$GIVEN" ]; then return; fi
  if [ ! -L "$VENV" ] && [ ! -e "$VENV" ]; then return; fi
  if [ ! -d "$VENV" ] || [ -n "$(ls -A "$VENV")" ]; then
    die "$VENV is there, has no pip that works, and was not made by this script: move it away, or remove it yourself."
  fi
}

check_first() {
  check_ours
  if [ -n "$VENV_VERSION" ]; then
    is_supported "$VENV_VERSION" ||
      die "$VENV has Python $VENV_VERSION, and the pinned packages need Python ${SUPPORTED/ / or }: remove $VENV first."
    PYTHON_EXE=$VENV/bin/python PYTHON_VERSION=$VENV_VERSION
  else
    choose_python
    check_python_parts
  fi
  KEYS=$(keys "$PYTHON_VERSION")
  is_done mmcv "$(key_of mmcv)" || check_compiler
  is_done torch "$(key_of torch)" || check_disk
}

# --- Running a step -----------------------------------------------------------------------------------------------------

duration() {
  if [ "$1" -ge 60 ]; then say "$(($1 / 60)) min $(($1 % 60)) s"; else say "$1 s"; fi
}

lock() {
  local owner given=''
  if [ -n "$VENV_VERSION" ] && [ ! -d "$STATE" ]; then given=1; fi
  mkdir -p "$STATE"
  if [ -n "$given" ]; then
    : >"$GIVEN"
    say "==> $VENV was not made by this script: nothing in it is removed, and packages are installed into it"
  fi
  if ! (set -C; say $$ >"$STATE/lock") 2>/dev/null; then
    owner=$(cat "$STATE/lock" 2>/dev/null || true)
    if [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null; then
      die "another install is at work in this folder (process $owner): wait until it has finished."
    fi
    say $$ >"$STATE/lock"
  fi
  # Gigabytes pass through pip's temporary folders, and it leaves them behind when it is killed.
  rm -rf "$STATE/tmp"
  mkdir "$STATE/tmp"
  export TMPDIR=$PWD/$STATE/tmp
  trap 'rm -rf "$STATE/lock" "$STATE/tmp"' EXIT
}

CHILD=''
interrupted() {
  trap '' INT TERM HUP
  local number waited
  if [ -n "$CHILD" ]; then
    for number in INT TERM KILL; do  # pip tidies up after INT; a run in the background may have it ignored
      kill -s "$number" -- "-$CHILD" 2>/dev/null || true
      waited=0
      while kill -0 -- "-$CHILD" 2>/dev/null && [ $waited -lt 50 ]; do sleep 0.1; waited=$((waited + 1)); done
    done
    wait "$CHILD" 2>/dev/null || true
  fi
  say "interrupted; 'make install' goes on from here."
  exit 130
}

run_step() {  # run_step STEP WHAT USUALLY
  local step=$1 key log=$STATE/$1.log start=$SECONDS
  key=$(key_of "$step")
  if is_done "$step" "$key"; then return; fi
  rm -f "$STATE/$step.done"
  say "==> $step: $2 (usually $3; log: $log)"
  set -m  # a process group of its own, so that an interruption reaches pip and the compilers it starts
  "step_$step" >"$log" 2>&1 </dev/null &
  CHILD=$!
  set +m
  if ! wait "$CHILD"; then
    tail -n 20 "$log" >&2
    die "the step '$step' failed after $(duration $((SECONDS - start))); the whole output is in $log." \
      "When the cause is gone, 'make install' goes on from here."
  fi
  CHILD=''
  say "$key" >"$STATE/$step.done"
  say "    done in $(duration $((SECONDS - start)))"
}

# --- The steps ----------------------------------------------------------------------------------------------------------

pip_install() {  # the step 'bytecode' compiles
  "$VENV/bin/python" -m pip install --no-compile --no-input --disable-pip-version-check -c requirements/constraints.txt "$@"
}

make_venv() {
  if [ -n "$VENV_VERSION" ]; then return; fi
  if [ -e "$VENV/pyvenv.cfg" ] || [ -e "$VENV/bin" ]; then say "==> $VENV is half made: repairing it"; fi
  rm -rf "$VENV/bin"
  say "==> venv: $VENV with $PYTHON_EXE, Python $PYTHON_VERSION (usually 5 s; log: $STATE/venv.log)"
  "$PYTHON_EXE" -m venv "$VENV" >"$STATE/venv.log" 2>&1 || {
    tail -n 20 "$STATE/venv.log" >&2
    die "$VENV could not be made; the whole output is in $STATE/venv.log."
  }
}

# pip writes a package's RECORD last. Without it the package counts as installed although files may be missing.
forget_half_installed() {
  local info
  if [ -e "$GIVEN" ]; then return; fi
  for info in "$VENV"/lib/python*/site-packages/*.dist-info; do
    if [ -d "$info" ] && [ ! -f "$info/RECORD" ]; then
      say "    removing what an interruption left: $(basename "$info" .dist-info)"
      rm -rf "$info"
    fi
  done
}

step_build() { pip_install -r requirements/build.txt; }

step_torch() { pip_install -r requirements/torch.txt; }

has_nvcc() {
  [ "${MMCV_CPU_ONLY:-0}" = 0 ] && { command -v nvcc || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; } >/dev/null
}

# Loads the operators without the rest of mmcv, whose cv2 may only be repaired in the next step.
mmcv_ops_load() {
  "$VENV/bin/python" - <<'PY'
import importlib.util
import sysconfig
import torch
folder = importlib.util.find_spec('mmcv').submodule_search_locations[0]
spec = importlib.util.spec_from_file_location('mmcv._ext', f"{folder}/_ext{sysconfig.get_config_var('EXT_SUFFIX')}")
operators = importlib.util.module_from_spec(spec)
spec.loader.exec_module(operators)
if torch.cuda.is_available() and operators.get_compiling_cuda_version() == 'not available':
    raise SystemExit('mmcv has its operators for the CPU only')
PY
}

step_mmcv() {
  export MMCV_WITH_OPS=1
  # With a GPU but no nvcc, mmcv's build stops. None of our models needs its CUDA operators, so it is built without.
  if ! has_nvcc; then export CUDA_VISIBLE_DEVICES=; fi
  pip_install --no-build-isolation -r requirements/mmcv.txt
  if mmcv_ops_load; then return; fi
  # pip keeps the wheel it built, whatever torch that was for.
  say '    the mmcv that pip kept does not fit this torch: compiling it anew (usually 11 minutes)' >&3
  pip_install --no-build-isolation --no-deps --force-reinstall --no-cache-dir -r requirements/mmcv.txt
  mmcv_ops_load
}

step_mm() {
  local headless
  pip_install --no-build-isolation -r requirements/mm.txt
  if "$VENV/bin/python" -c 'import cv2'; then return; fi
  say '    the cv2 of opencv-python does not load here (libGL?): laying the headless one over it' >&3
  headless=$(grep '^opencv-python-headless==' requirements/mm.txt)
  pip_install --no-deps --force-reinstall "$headless"
  "$VENV/bin/python" -c 'import cv2'
}

step_dev() { pip_install -r requirements/dev.txt; }

step_demo() { pip_install --no-deps -r requirements/demo.txt; }

step_package() { pip_install --no-deps --no-build-isolation -e .; }

# Of the 19,000 modules that pip would compile ours import a quarter. A shell that says PYTHONDONTWRITEBYTECODE means its own
# files: each tool would compile all of torch again.
step_bytecode() { write_bytecode || [ -e "$GIVEN" ]; }  # somebody else's environment may be closed to us

write_bytecode() {
  PYTHONDONTWRITEBYTECODE= "$VENV/bin/python" - <<'PY'
import importlib
import os
import pkgutil
import lbbt_mm
for module in pkgutil.walk_packages(lbbt_mm.__path__, 'lbbt_mm.'):
    try:
        importlib.import_module(module.name)
    except Exception as error:  # of an optional package; what is broken is said by the step 'check'
        print(error)
if not os.path.exists(importlib.import_module('torch').__spec__.cached):
    raise SystemExit('byte code was not written, so that each tool would compile all that it imports: is the disk full?')
PY
}

step_check() { "$VENV/bin/python" tools/doctor/doctor.py; }

# --- All together -------------------------------------------------------------------------------------------------------

VENV_VERSION=$(venv_version)
KEYS=$(keys "$VENV_VERSION")
if [ -n "$VENV_VERSION" ] && all_done; then
  say "environment is up to date ($VENV, Python $VENV_VERSION)"
  exit 0
fi
check_first
exec 3>&1
lock
trap interrupted INT TERM HUP
make_venv
forget_half_installed
run_step build 'what compiling mmcv needs' '10 s'
run_step torch 'torch and torchvision, about 7 GB where they come with CUDA' '2 minutes'
run_step mmcv "mmcv with compiled operators" '11 minutes on 2 cores; seconds where pip kept the wheel'
run_step mm 'mmdet, mmseg, mmpretrain, transformers and the rest' '1 minute'
run_step dev 'pytest and ruff' '10 s'
run_step demo "the demo's language model, 93 MB" '10 s'
run_step package 'lbbt_mm itself, editable' '5 s'
run_step bytecode 'byte code of what our modules import' '20 s'
run_step check 'tools/doctor/doctor.py' '10 s'
say "environment is ready ($VENV, Python $PYTHON_VERSION, $(duration $SECONDS))"
