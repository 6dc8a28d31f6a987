#!/usr/bin/env bash
# What the action does: lint all artifacts, or those that the pull request or push changes. The findings annotate the
# model's lines, and go into a SARIF file and into the summary of the job. The exit status is that of graphlint.
set -euo pipefail
cd "${GITHUB_WORKSPACE:-.}"

read -r -a paths <<< "${GRAPHLINT_PATHS:-.}"
read -r -a options <<< "${GRAPHLINT_ARGS:-}"
[ -z "${GRAPHLINT_TARGET:-}" ] || options+=(--target "$GRAPHLINT_TARGET")
sarif=${GRAPHLINT_SARIF_FILE:-graphlint.sarif}

if [ "${GRAPHLINT_CHANGED_ONLY:-false}" = true ]; then
  case "${GITHUB_EVENT_NAME:-}" in
    pull_request | pull_request_target)
      base=origin/$GITHUB_BASE_REF
      git rev-parse --quiet --verify "$base^{commit}" > /dev/null ||
        git fetch --quiet --no-tags origin "+refs/heads/$GITHUB_BASE_REF:refs/remotes/$base"
      base=$(git merge-base "$base" HEAD) || {
        echo "::error::the history of the base branch is not there: set fetch-depth: 0 for actions/checkout"
        exit 2
      }
      ;;
    push)
      base=$(python3 -c 'import json, os; print(json.load(open(os.environ["GITHUB_EVENT_PATH"])).get("before") or "")')
      ;;
    *) base= ;;
  esac
  if [ -n "$base" ] && git rev-parse --quiet --verify "$base^{commit}" > /dev/null; then
    changed=()
    while IFS= read -r -d '' path; do
      [[ $path != *.pt2 ]] || changed+=("$path")
    done < <(git diff --name-only -z --diff-filter=ACMRT "$base" HEAD -- "${paths[@]}")
    if [ ${#changed[@]} = 0 ]; then
      echo "graphlint: no artifact was changed"
      exit 0
    fi
    paths=("${changed[@]}")
    options+=(--force-exclude)
  else
    echo "::notice::graphlint: what was changed is not known here, so all artifacts are linted"
  fi
fi

[ -z "${GITHUB_OUTPUT:-}" ] || echo "sarif-file=$sarif" >> "$GITHUB_OUTPUT"
exec graphlint check --output-format github --output-format "sarif=$sarif" ${options[@]+"${options[@]}"} -- "${paths[@]}"
