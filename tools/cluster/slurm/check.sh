#!/bin/bash
# Runs ingest.sbatch under a Slurm of its own with two nodes, which are processes of
# this machine, kills one in the middle of the array, and compares the digest with
# that of one process. Needs root, for namespaces, and Debian's slurmctld, slurmd,
# slurm-client and munge. It takes a minute, most of which Slurm waits until it
# is sure that the node is dead.
set -euo pipefail
cd "$(dirname "$0")/../../.."

work=$(mktemp -d)
chmod 755 "$work"
daemons=()
finish() {
  local status=$?
  if ((status)); then for log in "$work"/*.log; do echo "-- $log"; tail -n 20 "$log"; done; fi
  ((${#daemons[@]} == 0)) || kill -9 "${daemons[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
fail() { echo "$*" >&2; exit 1; }

# start NAME COMMAND...: a daemon in a process namespace of its own, so that killing it
# kills all that it started, as a machine that loses its power does.
start() {
  local name=$1
  shift
  unshare --pid --fork --kill-child --mount-proc "$@" >"$work/$name.log" 2>&1 &
  daemons+=($!)
  disown
}

# await SECONDS COMMAND...: until the command succeeds.
await() {
  local left=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    ((left-- > 0)) || fail "waited too long for: $*"
    sleep 0.2
  done
}

CGO_ENABLED=0 go build -o "$work/ingest" ./ingest
go run ./tools/mkilsvrc --out "$work/pictures" --classes 6 --per-class 150 >/dev/null
flags=(--size 128 --shard-size 1MB --pixels int16)
"$work/ingest" --src "$work/pictures" --out "$work/one" "${flags[@]}" >/dev/null 2>&1

head -c 1024 /dev/urandom >"$work/munge.key"
chmod 600 "$work/munge.key"
start munged munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.sock" \
  --pid-file="$work/munged.pid" --log-file="$work/munged-own.log" --seed-file="$work/munge.seed"
await 10 test -S "$work/munge.sock"

cat >"$work/slurm.conf" <<CONF
ClusterName=check
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=26817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool-%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=8
ReturnToService=2
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[26818-26819] CPUs=8 RealMemory=8000
PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
mkdir "$work/state" "$work/spool-n1" "$work/spool-n2"
start slurmctld slurmctld -D
start n1 slurmd -D -N n1
start n2 slurmd -D -N n2
n2=${daemons[-1]}
nodes_idle() { [[ $(sinfo --noheader --format=%D --states=idle) == 2 ]]; }
await 60 nodes_idle

export GOMAXPROCS=1 SRC=$work/pictures OUT=$work/out TASKS=3 INGEST=$work/ingest
cd "$work" # the jobs' logs go here
submitted=$(bash "$OLDPWD/tools/cluster/slurm/ingest.sbatch" submit "${flags[@]}")
echo "submitted: $submitted"
array=$(sed 's/.*array \([0-9]*\).*/\1/' <<<"$submitted")
merge=${submitted##* }

on_n2() { squeue --noheader --jobs="$array" --nodelist=n2 --states=running --format=%i | grep -q .; }
parts() { compgen -G "$OUT/.ingest/*.part"; }
await 60 on_n2
await 60 parts
killed=$(squeue --noheader --jobs="$array" --nodelist=n2 --states=running --format=%i)
kill -9 "$n2"
[[ -n $killed ]] || fail "the node had no task when it was killed"
echo "killed the node n2, on which was: $killed, with $(parts | wc -l) shards finished"

restarted() { scontrol show job "$killed" | grep -q 'Restarts=1'; }
await 300 restarted
scontrol update JobId="$killed" StartTime=now # Slurm itself would wait two minutes

merged() { [[ $(scontrol show job "$merge" | grep -o 'JobState=[A-Z]*') == JobState=COMPLETED ]]; }
await 400 merged
digest() { grep -o '"digest": *"[0-9a-f]*"' "$1/manifest.json"; }
diff <(digest "$work/one") <(digest "$OUT")
diff -r "$work/one" "$OUT"
echo "merged, after $killed was started again; every file is as one process made it: $(digest "$OUT")"
