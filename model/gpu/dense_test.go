package gpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"alexnet/model/golden"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/soft"
)

// noGroups is a library that refuses grouped convolutions: when they are planned, or when
// they are computed for the first time, in one direction.
type noGroups struct {
	device.Library
	late    bool
	refused int
}

func (l *noGroups) refuse() error {
	l.refused++
	return fmt.Errorf("groups: %w", device.ErrUnsupported)
}

func (l *noGroups) Convolution(c device.Convolution) (device.Convolver, error) {
	if c.Groups > 1 && !l.late {
		return nil, l.refuse()
	}
	v, err := l.Library.Convolution(c)
	if c.Groups > 1 {
		v = lateRefusal{v, l}
	}
	return v, err
}

type lateRefusal struct {
	device.Convolver
	l *noGroups
}

func (v lateRefusal) BackwardWeights(device.Stream, device.Ptr, device.Ptr, device.Ptr, device.Ptr) error {
	return v.l.refuse()
}

// Where groups are made of zeros, because that is wanted or the library has no way to
// compute them, everything is as without: PyTorch's gradients, and losses and weights
// after some steps.
func TestDense(t *testing.T) {
	long(t)
	c, err := golden.Load("paper-order")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		library *noGroups
		dense   bool
	}{
		"wanted":                {dense: true},
		"no way":                {library: &noGroups{}},
		"refused when computed": {library: &noGroups{late: true}},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := machine(t, soft.Options{Policy: soft.Random, Seed: 3})
			o := Options{Machine: m}
			plain := goldenEngine(t, c, o)
			groups := plain.grouped()
			if len(groups) == 0 || strings.Contains(plain.Arithmetic(), "dense") {
				t.Fatalf("groups %q, %s", groups, plain.Arithmetic())
			}
			if test.library != nil {
				test.library.Library = m.Library
				o.Machine = &Machine{Device: m.Device, Library: test.library}
			}
			if test.dense {
				o.Dense = groups
			}
			e := goldenEngine(t, c, o)
			g, err := c.GradientErrors(e)
			if err != nil {
				t.Fatal(err)
			}
			if name, worst := g.Worst(); !(worst <= 1e-4) || !(g.Loss <= 1e-4) {
				t.Errorf("the loss is off by %.2g, the gradient of %s by %.2g", g.Loss, name, worst)
			}
			for _, name := range groups {
				if !strings.Contains(e.Arithmetic(), name+" dense") {
					t.Errorf("%s is not dense: %s", name, e.Arithmetic())
				}
			}
			if test.library != nil && test.library.refused == 0 {
				t.Error("nothing was refused")
			}
			if err := c.Reset(e); err != nil {
				t.Fatal(err)
			}
			got, err := c.LossErrors(e)
			if err != nil {
				t.Fatal(err)
			}
			if worst := slices.Max(got); !(worst <= 1e-4) {
				t.Errorf("losses are off by %.2g", got)
			}
		})
	}
	m, _ := machine(t, soft.Options{})
	if _, err := New(c.Net, c.State(), Options{Machine: m, Batch: 1, Dense: []string{"fc6"}}); err == nil || !strings.Contains(err.Error(), `"fc6"`) {
		t.Errorf("dense is a layer without groups: %v", err)
	}
}

// In bfloat16 too the weights between groups stay zeros.
func TestDenseZeros(t *testing.T) {
	c, err := golden.Load("paper-order")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := machine(t, soft.Options{NoRaces: true})
	e := goldenEngine(t, c, Options{Machine: m, Precision: BF16, Dense: goldenEngine(t, c, Options{Machine: m}).grouped()})
	if _, err := c.LossErrors(e); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i := range e.params.list {
		q := &e.params.list[i]
		if q.rows.groups == 0 {
			continue
		}
		own := make([]float32, q.rows.size())
		for _, array := range []device.Ptr{e.params.weightAt(i), e.params.velocity.Add(4 * q.at)} {
			if err := e.transfer.out(bytesOf(own), array); err != nil {
				t.Fatal(err)
			}
			for j, keep := range q.rows.keep() {
				if checked++; keep == 0 && own[j] != 0 {
					t.Fatalf("%s: value %d is %g, and is none", q.spec.Name, j, own[j])
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no layer is dense")
	}
}
