package nvidia

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"time"

	"alexnet/model/gpu/device"
)

// VariableNCCL names the environment variable that chooses NCCL, as VariableDNN does cuDNN.
const VariableNCCL = "ALEXNET_NCCL"

// Ranks are the processes that train together, as one of them sees it: a
// collective.Group of package train/collective. NCCL is told by them who is there; sums
// then go from GPU to GPU.
type Ranks interface {
	// Rank is the number of this one, from 0 to World()-1.
	Rank() int
	World() int
	// AllGather returns the bytes of all ranks in their order, as many of each. It waits for
	// the others.
	AllGather(own []byte) ([]byte, error)
}

// RanksOptions say what a rank joins the others with.
type RanksOptions struct {
	// Bind is that of Options.
	Bind func(func() error) error
	// Device is this rank's GPU.
	Device device.Device
	// Patience is how long Wait waits for the stream before it takes another rank for gone;
	// 0 means five minutes. All ranks queue a step's sums within moments of each other, but
	// the first step may load code meanwhile.
	Patience time.Duration

	host     string        // in place of this machine's, in tests
	farewell time.Duration // how long Close waits for NCCL to end
}

const (
	patience = 5 * time.Minute
	farewell = 30 * time.Second
)

// SameGPUError says that two ranks have the same GPU, which NCCL cannot do.
type SameGPUError struct {
	Ranks [2]int
	Node  string // name of the machine
	Bus   string // where the GPU is in it
}

// Error says what to do.
func (e *SameGPUError) Error() string {
	return fmt.Sprintf("ranks %d and %d have the same GPU, %s of %s: start no more ranks on a machine than it has GPUs, and let each see all of "+
		"them or one of its own (CUDA_VISIBLE_DEVICES); with %s=%s ranks may share one, and sum through the host's memory",
		e.Ranks[0], e.Ranks[1], e.Bus, e.Node, VariableNCCL, None)
}

// RankError says that another rank could not join.
type RankError struct {
	Rank int
	Node string
	Call string // what it could not do
}

// Error names the rank.
func (e *RankError) Error() string {
	return fmt.Sprintf("rank %d (on %s) has failed in %s; its own message says why", e.Rank, e.Node, e.Call)
}

// StalledError says that sums did not come.
type StalledError struct{ After time.Duration }

// Error says what to look at.
func (e *StalledError) Error() string {
	return fmt.Sprintf("the sums of the gradients have not come for %v: another rank is gone or hangs; NCCL_DEBUG=INFO makes NCCL say more", e.After)
}

// state is how a rank comes to the others.
type state uint32

const (
	joining state = iota
	missing       // it has no NCCL
	failed        // it has, but cannot use it
)

// card is what ranks tell each other of themselves.
type card struct {
	State   state
	Version int32
	Host    uint64 // what is the same for all ranks of a machine, and for no others
	Node    [64]byte
	Bus     [32]byte // of the GPU
	ID      uniqueID // that rank 0 made
}

// uniqueID is ncclUniqueId (nccl.h).
type uniqueID struct{ Internal [128]byte }

func (c *card) node() string { return text(c.Node[:]) }

// text is a string that ends with a zero.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// cardOf returns the card of this machine and GPU.
func cardOf(o *RanksOptions) card {
	c := card{}
	node, _ := os.Hostname() // "" where it has none
	copy(c.Node[:len(c.Node)-1], node)
	if o.Device != nil {
		copy(c.Bus[:len(c.Bus)-1], o.Device.Info().Bus)
	}
	host := o.host
	if host == "" {
		// Containers of one machine have names of their own, but the machine has been started
		// once.
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if host = strings.TrimSpace(string(boot)); host == "" {
			host = node
		}
	}
	sum := fnv.New64a()
	sum.Write([]byte(host)) // a hash never fails
	c.Host = sum.Sum64()
	return c
}

// exchange gives a card to the others and returns those of all.
func exchange(ranks Ranks, own *card) ([]card, error) {
	b, err := binary.Append(nil, binary.LittleEndian, own)
	if err != nil {
		return nil, err
	}
	all, err := ranks.AllGather(b)
	if err != nil {
		return nil, err
	}
	if len(all) != ranks.World()*len(b) {
		return nil, fmt.Errorf("%d bytes of %d ranks instead of %d of each: the ranks' programs differ", len(all), ranks.World(), len(b))
	}
	cards := make([]card, ranks.World())
	for i := range cards {
		if _, err := binary.Decode(all[i*len(b):], binary.LittleEndian, &cards[i]); err != nil {
			return nil, err
		}
	}
	return cards, nil
}

// verdict is what all ranks make of their cards, each the same: nil when they can join. A
// rank that knows why it cannot says so itself.
func verdict(cards []card, rank int, own error) error {
	for i := range cards {
		switch c := &cards[i]; {
		case c.State != failed:
		case i == rank:
			return own
		default:
			return &RankError{Rank: i, Node: c.node(), Call: "preparing NCCL"}
		}
	}
	for i := range cards {
		switch c := &cards[i]; {
		case c.State != missing:
		case cards[rank].State == missing:
			return own
		default:
			return &MissingError{Library: labelNCCL, Variable: VariableNCCL, Hint: "see there",
				Err: fmt.Errorf("rank %d (on %s) has none, or does not want it", i, c.node())}
		}
	}
	seen := map[[2]string]int{}
	for i := range cards {
		c := &cards[i]
		if c.Version != cards[0].Version {
			return fmt.Errorf("rank %d (on %s) has NCCL %s, but rank 0 (on %s) %s: all must have the same release", i, c.node(),
				release(ncclVersion(c.Version)), cards[0].node(), release(ncclVersion(cards[0].Version)))
		}
		bus := text(c.Bus[:])
		if bus == "" {
			continue
		}
		key := [2]string{fmt.Sprint(c.Host), bus}
		if other, ok := seen[key]; ok {
			return &SameGPUError{Ranks: [2]int{other, i}, Node: c.node(), Bus: bus}
		}
		seen[key] = i
	}
	return nil
}

// ncclVersion takes ncclGetVersion's number apart. Up to release 2.8 the major one stood for
// thousands.
func ncclVersion(v int32) [3]int {
	if v < 10000 {
		return [3]int{int(v) / 1000, int(v) / 100 % 10, int(v) % 100}
	}
	return [3]int{int(v) / 10000, int(v) / 100 % 100, int(v) % 100}
}

func release(v [3]int) string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }
