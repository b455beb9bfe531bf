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

// Shared is what a rank may compute on.
type Shared struct {
	// Own is how many of those processors that this process may use at a time are this
	// rank's: all, but where other ranks of its machine may use the same ones their share,
	// at least 1. Threads that wait for each other without sleeping, as those of numerical
	// libraries do, come to a standstill when there are more of them than processors.
	Own int
	// Bound is how many processors of its machine the ranks there may use together, and Free
	// how many their launcher may: more, where it has bound each of them to a few. Both are 0
	// where that is not known, and for a process alone.
	Bound, Free int
}

// Processors returns what this rank may compute on, of which usable at a time. Ranks in
// another container, which may have processors of its own, are not counted.
func Processors(g Group, usable int) (Shared, error) {
	if g.World() == 1 {
		return Shared{Own: usable}, nil
	}
	name, _ := os.Hostname() // each container has its own
	return processors(g, machine()+" "+name, affinity(0), affinity(os.Getppid()), usable)
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

// sumOf returns eight bytes that stand for a text.
func sumOf(text string) []byte {
	h := fnv.New64a()
	h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// beside is Beside on a machine of that name.
func beside(g Group, machine string) (int, error) {
	own := sumOf(machine)
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

// processors is Processors at a place of that name, for a process that may use those
// processors whose bits are set in own, and its launcher those of launcher.
func processors(g Group, place string, own, launcher mask, usable int) (s Shared, err error) {
	here := sumOf(place)
	all, err := g.AllGather(append(here, own[:]...))
	if err != nil {
		return s, err
	}
	mine, share := 0, 0.0
	for i := range 8 * len(own) {
		at, bit := i/8, byte(1)<<(i%8)
		users := 0
		for other := range slices.Chunk(all, len(here)+len(own)) {
			if bytes.Equal(other[:len(here)], here) && other[len(here)+at]&bit != 0 {
				users++
			}
		}
		if own[at]&bit != 0 {
			mine++
			share += 1 / float64(users)
		}
		if users > 0 {
			s.Bound++
		}
		if launcher[at]&bit != 0 {
			s.Free++
		}
	}
	if s.Own = usable; mine > 0 { // else the system does not say
		const exact = 1 + 1e-9 // thirds of three are one
		s.Own = max(1, int(float64(usable)*share/float64(mine)*exact))
	}
	return s, nil
}

// mask has a bit for each processor of a machine, as many as Linux's smallest set of them.
type mask [1024 / 8]byte
