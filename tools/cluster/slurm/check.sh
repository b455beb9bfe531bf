#!/bin/bash
# Runs ingest.sbatch and train.sbatch under a Slurm of its own with two nodes, which are
# processes of this machine. A training of two ranks is told that its time is up, puts itself
# back and goes on; then one of the nodes is killed in the middle of it and of an array of
# ingest. In the end the records must be those of one process and the weights those of an
# undisturbed training. Needs root, for namespaces, and Debian's slurmctld, slurmd,
# slurm-client, munge, openmpi-bin and libpmix-dev. It takes a minute, half of which Slurm
# waits until it is sure that the node is dead. Status 75 says that Slurm itself did not start.
set -euo pipefail
cd "$(dirname "$0")/../../.."

work=$(mktemp -d -p /var/tmp) # the nodes have a /tmp of their own
chmod 755 "$work"
daemons=()
up=yes # empty while Slurm is being started
finish() {
  local status=$?
  ((status == 0)) || [[ -n $up ]] || status=75
  if ((status)); then
    for log in "$work"/*.log; do
      echo "-- $log"
      grep -m 1 -A 30 -E '^(SIG[A-Z]+|fatal error|panic):' "$log" || true # how a crash of Go begins
      tail -n 20 "$log"
    done
  fi
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

# start_node NAME: a node with a /tmp of its own, where PMIx of several would meet. What one
# that died has left of a step keeps Slurm's PMIx from starting the same step there again.
start_node() {
  rm -rf "$work/spool-$1" "$work/tmp-$1"
  mkdir -p "$work/spool-$1" "$work/tmp-$1"
  # The shell stays, and buries orphans as an init does: slurmd would wait for them.
  start "$1" unshare --mount bash -c "mount --bind '$work/tmp-$1' /tmp; slurmd -D -N $1; exit"
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

CGO_ENABLED=0 go build -o "$work/" ./ingest ./train
go run ./tools/mkilsvrc --out "$work/pictures" --classes 6 --per-class 150 >/dev/null
flags=(--size 128 --shard-size 1MB --pixels int16)
"$work/ingest" --src "$work/pictures" --out "$work/one" "${flags[@]}" >/dev/null 2>&1
up=

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
KillWait=3
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[26818-26819] CPUs=12 RealMemory=8000
PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
mkdir "$work/state"
start slurmctld slurmctld -D
start_node n1
start_node n2
n2=${daemons[-1]}
nodes_idle() { [[ $(sinfo --noheader --format=%D --states=idle) == 2 ]]; }
await 60 nodes_idle
up=yes

recipes=$PWD/tools/cluster/slurm
cd "$work" # the jobs' logs go here
export GOMAXPROCS=1 SRC=$work/pictures OUT=$work/out TASKS=3 INGEST=$work/ingest
export RECORDS=$work/one TRAIN=$work/train

# A training of two ranks, small enough for one processor.
training=(--net alexnet-small --batch 8 --epochs 20 --log-every 1)
export OMPI_MCA_mpi_yield_when_idle=1 # there may be more ranks than processors
fit() { sbatch --parsable --mem=1G --cpus-per-task=1 "$@" "$recipes/train.sbatch" "${training[@]}"; }
steps() { local n; n=$(grep -c '"step",' "$1/metrics.jsonl" 2>/dev/null) || n=0; echo "$n"; }
past() { (($(steps "$work/run") > $1)); }
restarted() { scontrol show job "$1" | grep -q "Restarts=$2 "; }
is() { scontrol show job "$1" | grep -qE "JobState=($2)"; }
again() {
  await 300 restarted "$1" "$2"
  await 60 gone "$1"
  await 60 goes_on "$1"
}
# Slurm itself would wait two minutes. Sooner than the last step is gone from all nodes they
# would take the new one, of the same name, for that and end it.
gone() { ! compgen -G "$work/spool-*/*pmix.$1.*"; }
goes_on() {
  is "$1" 'RUNNING|COMPLETED' && return
  scontrol update JobId="$1" StartTime=now+2
  local try
  for try in {1..40}; do
    sleep 0.2
    is "$1" 'RUNNING|COMPLETED' && return
  done
  return 1
}

fitted=$(RUN=$work/run fit)
await 60 past 5
scancel --batch --signal=USR1 "$fitted" # as Slurm does before the time is up
again "$fitted" 1
echo "training $fitted was told to stop, and put itself back after step $(steps "$work/run")"
await 60 past 20

submitted=$(bash "$recipes/ingest.sbatch" submit "${flags[@]}")
echo "submitted: $submitted"
array=$(sed 's/.*array \([0-9]*\).*/\1/' <<<"$submitted")
merge=${submitted##* }

on_n2() { squeue --noheader --jobs="$array" --nodelist=n2 --states=running --format=%i | grep -q .; }
parts() { compgen -G "$OUT/.ingest/*.part"; }
await 60 on_n2
await 60 parts
killed=$(squeue --noheader --jobs="$array" --nodelist=n2 --states=running --format=%i)
is "$fitted" RUNNING || fail "the training was over when the node was killed"
kill -9 "$n2"
unset 'daemons[-1]' # its number may be another process's by the end
[[ -n $killed ]] || fail "the node had no task when it was killed"
echo "killed the node n2, on which was: $killed, with $(parts | wc -l) shards finished, and a rank of $fitted at step $(steps "$work/run")"

whole=$(RUN=$work/whole fit --nodes=1 --ntasks-per-node=2) # undisturbed, on the other node
again "$killed" 1
start_node n2
again "$fitted" 2

await 400 is "$merge" COMPLETED
digest() { grep -o '"digest": *"[0-9a-f]*"' "$1/manifest.json"; }
diff <(digest "$work/one") <(digest "$OUT")
diff -r "$work/one" "$OUT"
echo "merged, after $killed was started again; every file is as one process made it: $(digest "$OUT")"

await 200 is "$whole" COMPLETED
await 200 is "$fitted" COMPLETED
last() { cat "$1/checkpoints/"*.safetensors | sha256sum; }
diff <(cd "$work/whole/checkpoints" && sha256sum -- *) <(cd "$work/run/checkpoints" && sha256sum -- *)
echo "trained, after two new starts; every checkpoint is as that of an undisturbed training: $(last "$work/run")"
