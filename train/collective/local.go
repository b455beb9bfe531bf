package collective

import (
	"bytes"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
)

// LocalRank returns the number of this process among those that its launcher has started on
// this machine, from 0, as the launcher has left it in the environment, which env looks up:
// Open MPI's mpirun, Slurm's srun, or one that sets LOCAL_RANK. It is 0 where nothing says.
func LocalRank(env func(string) string) int {
	for _, name := range [...]string{"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "LOCAL_RANK"} {
		if n, err := strconv.Atoi(env(name)); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}

// Beside returns the number of ranks of the group that run on this machine, this one
// included. Ranks in containers of their own count: it is the machine whose memory they
// share.
func Beside(g Group) (int, error) {
	if g.World() == 1 {
		return 1, nil
	}
	return beside(g, machine())
}

// machine returns what is the same for all processes of a machine, and for no others.
func machine() string {
	// Containers have names of their own, but the machine has been started once.
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		return string(boot)
	}
	name, _ := os.Hostname() // all without a name share
	return name
}

// beside is Beside on a machine of that name.
func beside(g Group, machine string) (int, error) {
	h := fnv.New64a()
	h.Write([]byte(machine)) // a hash never fails
	own := h.Sum(nil)
	all, err := g.AllGather(own)
	if err != nil {
		return 0, err
	}
	n := 0
	for other := range slices.Chunk(all, len(own)) {
		if bytes.Equal(other, own) {
			n++
		}
	}
	return n, nil
}
