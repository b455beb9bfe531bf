package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
	"alexnet/model/gpu/soft"
	"alexnet/tools/cli"
)

// kind is what the values of a memory are.
type kind int

const (
	float kind = iota // of 32 bits
	bfloat
	words // of 32 bits
	octets
)

// size returns the bytes of a value.
func (k kind) size() int { return [...]int{4, 2, 4, 1}[k] }

// tolerance is how far the results of two devices may be apart, in parts of the larger of
// the value and the root mean square: their approximations of roots and exponentials are
// good to a few of the last bits, and then a result may be rounded to bfloat16 the other
// way.
func (k kind) tolerance() float64 { return [...]float64{1e-5, 1.6e-2, 0, 0}[k] }

// memory is an operand of a kernel.
type memory struct {
	kind   kind
	values int
	out    bool                         // it is compared afterwards
	bytes  func(at []device.Ptr) []byte // what it holds before; nil: noise
}

// trial is a use of our kernels, on memories that it is given the addresses of.
type trial struct {
	name string
	mem  []memory
	run  func(k *kernels.Set, s device.Stream, at []device.Ptr) error
}

// stand is a device with our kernels.
type stand struct {
	device device.Device
	stream device.Stream
	set    *kernels.Set
}

func newStand(d device.Device) (*stand, error) {
	set, err := kernels.Load(d)
	if err != nil {
		return nil, err
	}
	stream, err := d.NewStream()
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return &stand{d, stream, set}, nil
}

func (s *stand) close() error {
	return errors.Join(s.stream.Sync(), s.set.Close(), s.stream.Close())
}

// play runs a trial and returns what its memories hold afterwards.
func (s *stand) play(t *trial) (after [][]byte, err error) {
	at := make([]device.Ptr, len(t.mem))
	host := make([][]byte, len(t.mem))
	defer func() {
		err = errors.Join(err, s.stream.Sync())
		for i := range at {
			if at[i] != 0 {
				err = errors.Join(err, s.device.Release(at[i]))
			}
			if host[i] != nil {
				err = errors.Join(err, s.device.ReleaseHost(host[i]))
			}
		}
	}()
	for i, m := range t.mem {
		if at[i], err = s.device.Alloc(m.values * m.kind.size()); err != nil {
			return nil, err
		}
		if host[i], err = s.device.AllocHost(m.values * m.kind.size()); err != nil {
			return nil, err
		}
	}
	for i, m := range t.mem {
		if m.bytes != nil {
			copy(host[i], m.bytes(at))
		} else {
			newNoise(uint64(i)).values(host[i], m.kind)
		}
		if err := s.stream.CopyIn(at[i], host[i]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(t.run(s.set, s.stream, at), s.stream.Sync()); err != nil {
		return nil, err
	}
	for i := range t.mem {
		if err := s.stream.CopyOut(host[i], at[i]); err != nil {
			return nil, err
		}
	}
	if err := s.stream.Sync(); err != nil {
		return nil, err
	}
	for i := range host {
		after = append(after, append([]byte(nil), host[i]...))
	}
	return after, nil
}

// values draws values: of floats, normal ones of about one, of either sign.
func (n noise) values(to []byte, k kind) {
	switch k {
	case float:
		for i := 0; i+4 <= len(to); i += 4 {
			binary.LittleEndian.PutUint32(to[i:], math.Float32bits(n.normal()))
		}
	case bfloat:
		for i := 0; i+2 <= len(to); i += 2 {
			binary.LittleEndian.PutUint16(to[i:], uint16(math.Float32bits(n.normal())>>16))
		}
	default:
		n.fill(to)
	}
}

// normal draws a value of about the distribution's shape: a sum of uniform ones.
func (n noise) normal() float32 {
	w, sum := n.bits.Uint64(), 0
	for range 4 {
		sum += int(w & 0xffff)
		w >>= 16
	}
	return (float32(sum)/65536 - 2) * 1.7
}

// twins plays all trials on a device and on one of plain Go, which executes the same
// kernels and was compared with plain references, and compares what they wrote.
func twins(r *recorder, d device.Device) (err error) {
	const memory = 64 << 20
	model := soft.Open(soft.Options{Memory: memory, Policy: soft.Eager, NoRaces: true})
	defer func() { err = errors.Join(err, model.Close()) }()
	right, err := newStand(model)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, right.close()) }()
	tried, err := newStand(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tried.close()) }()
	var g group
	for _, t := range trials() {
		r.failing("kernel: "+t.name, func() error {
			want, err := right.play(&t)
			if err != nil {
				return fmt.Errorf("in plain Go: %w", err)
			}
			got, err := tried.play(&t)
			if err != nil {
				return err
			}
			worst, note, err := t.apart(got, want)
			if err == nil && !(worst <= 1) {
				err = fmt.Errorf("%.3g times as far off as may be, %s", worst, note)
			}
			if err == nil {
				g.add(t.name, worst, note)
			}
			return err
		})
	}
	g.report(r)
	return nil
}

// group gathers the trials of a kernel that have passed: their types and channels are of
// interest only where one has not.
type group struct {
	names []string
	of    map[string]*result
}

// add adds a trial.
func (g *group) add(trial string, worst float64, note string) {
	name, _, _ := strings.Cut(trial, ",")
	if g.of == nil {
		g.of = map[string]*result{}
	}
	res, known := g.of[name]
	if !known {
		res = &result{Status: passed, Limit: 1, Unit: "of what may be"}
		g.of[name], g.names = res, append(g.names, name)
	}
	if res.Batch++; worst >= res.Value { // counts trials, until report
		res.Value, res.Note = worst, trial+": "+note
	}
}

// report notes the kernels.
func (g *group) report(r *recorder) {
	for _, name := range g.names {
		res := *g.of[name]
		res.What, res.Batch = fmt.Sprintf("kernel: %s, %d trials", name, res.Batch), 0
		r.add(res)
	}
}

// apart returns the distance of the worst value that a trial left on two devices, in parts
// of what it may be, and how many are not the same.
func (t *trial) apart(got, want [][]byte) (worst float64, note string, err error) {
	bits, count := 0, 0
	for i, m := range t.mem {
		if !m.out {
			continue
		}
		g, w := decode(got[i], m.kind), decode(want[i], m.kind)
		rms := 0.0
		for _, v := range w {
			rms += v * v / float64(len(w))
		}
		rms = math.Sqrt(rms)
		for j, v := range w {
			count++
			if g[j] == v {
				continue
			}
			bits++
			if m.kind.tolerance() == 0 {
				return 0, "", fmt.Errorf("value %d of memory %d is %g, in plain Go %g", j, i, g[j], v)
			}
			worst = max(worst, math.Abs(g[j]-v)/max(math.Abs(v), rms)/m.kind.tolerance())
		}
	}
	return worst, fmt.Sprintf("%d of %s values are not as in plain Go", bits, cli.FormatCount(count)), nil
}

// decode returns values as numbers.
func decode(b []byte, k kind) []float64 {
	out := make([]float64, len(b)/k.size())
	for i := range out {
		at := b[i*k.size():]
		switch k {
		case float:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(at)))
		case bfloat:
			out[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(at)) << 16))
		case words:
			out[i] = float64(int32(binary.LittleEndian.Uint32(at)))
		case octets:
			out[i] = float64(at[0])
		}
	}
	return out
}
