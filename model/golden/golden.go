// Package golden has what PyTorch computes of some nets, and measures how far an engine
// is from it: in logits, in all gradients and in ten losses of training. It is for the
// tests of engines and for tools/gpucheck. It depends on no engine and uses one as a
// training loop does.
//
// The numbers are of float64; testdata/make.py makes them and says what is in a file.
// Each net tries what engines get wrong: groups, windows over the edge, short batches,
// images without a label, multipliers of the rate, masks of dropout. The paper's net
// itself is among them ([AlexNet]).
package golden

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"alexnet/model"
)

// AlexNet is the name of the case of the paper's net: 61 million parameters, drawn by
// Net.Init, and no losses.
const AlexNet = "alexnet"

//go:embed testdata/*.json
var embedded embed.FS

// Case is a net with images, and what is to come of them. Its fields and what its methods
// return are to be read only. It is not safe for concurrent use.
type Case struct {
	Net         *model.Net // the alpha of its normalisations is ours
	Convention  string     // of alpha in the file: UseConvention
	Seed        uint64     // of the engine's dropout, of the weights and of the images
	Batch       int        // the largest number of images at a time
	Labels      [][]int32  // of each batch; -1 where there is none
	Logits      [][]float64
	Step        uint64    // of Loss and of the gradients
	Loss        float64   // the sum over the first batch
	Rates       []float32 // of each step of training
	Momentum    float32
	WeightDecay float32
	WantLosses  []float64 // of each step of training
	SGDLosses   []float64 // the same with the rate outside the velocity, as PyTorch has it

	file    file
	weights []model.Tensor
}

// file is what make.py writes.
type file struct {
	Net         *model.Net          `json:"net"`
	Convention  string              `json:"convention"`
	Init        string              `json:"init"`
	Seed        uint64              `json:"seed"`
	Stream      uint32              `json:"stream"`
	Batch       int                 `json:"batch"`
	Pixel       float64             `json:"pixel"`
	Labels      [][]int32           `json:"labels"`
	Logits      [][]float64         `json:"logits"`
	Step        uint64              `json:"step"`
	Loss        float64             `json:"loss"`
	Gradients   map[string]gradient `json:"gradients"`
	Rates       []float32           `json:"rates"`
	Momentum    float32             `json:"momentum"`
	WeightDecay float32             `json:"weight_decay"`
	Losses      []float64           `json:"losses"`
	SGDLosses   []float64           `json:"sgd_losses"`
}

// Names returns the names of all cases, in the order of the alphabet.
func Names() []string {
	entries, err := embedded.ReadDir("testdata")
	if err != nil {
		return nil // cannot be: the folder is part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	slices.Sort(names)
	return names
}

// SmallNames returns the names of those that take a moment only and have losses.
func SmallNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == AlexNet })
}

// Load reads a case. Its net has our alpha, which multiplies the sum of squares as it
// is.
func Load(name string) (*Case, error) {
	b, err := embedded.ReadFile("testdata/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("no golden %q: there are %s", name, strings.Join(Names(), ", "))
	}
	c := &Case{}
	f := &c.file
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("golden %s: %w", name, err)
	}
	if f.Init != "philox" && f.Init != "net" {
		return nil, fmt.Errorf("golden %s: unknown init %q", name, f.Init)
	}
	net := *f.Net
	net.Layers = slices.Clone(net.Layers)
	c.Net, c.Convention, c.Seed, c.Batch, c.Labels = &net, f.Convention, f.Seed, f.Batch, f.Labels
	c.Logits, c.Step, c.Loss = f.Logits, f.Step, f.Loss
	c.Rates, c.Momentum, c.WeightDecay = f.Rates, f.Momentum, f.WeightDecay
	c.WantLosses, c.SGDLosses = f.Losses, f.SGDLosses
	return c, c.UseConvention(c.Convention)
}

// UseConvention sets the alphas of the net to what the file's mean in a convention:
// "paper" multiplies the sum of squares by them as they are, "caffe" and "as-run" the
// mean. The case's own is Convention; with another its numbers are not to be met.
func (c *Case) UseConvention(name string) error {
	for i := range c.Net.Layers {
		l := &c.Net.Layers[i]
		n := l.Size
		switch l.Kind {
		case model.LRN:
		case model.LRNWithinChannel:
			n *= n
		default:
			continue
		}
		switch name {
		case "paper":
			l.Alpha = c.file.Net.Layers[i].Alpha
		case "caffe", "as-run":
			l.Alpha = c.file.Net.Layers[i].Alpha / float64(n)
		default:
			return fmt.Errorf("golden %s: unknown convention %q", c.Net.Name, name)
		}
	}
	return nil
}

// Weights returns the initial weights, which engines copy. Those of the last layer that
// make the logit of class 0 are zero, so that the logit of class j is log(p[j]/p[0]): an
// engine tells probabilities only.
func (c *Case) Weights() []model.Tensor {
	if c.weights != nil {
		return c.weights
	}
	if c.file.Init == "net" {
		c.weights = c.Net.Init(c.Seed)
	} else {
		for i, p := range c.Net.Params() {
			mean, scale := 0.0, p.Std*math.Sqrt(3)
			if p.Std == 0 {
				mean, scale = p.Bias, 0.1
			}
			data := c.uniform(p.Len(), uint32(i), mean, scale)
			c.weights = append(c.weights, model.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	for _, last := range c.weights[len(c.weights)-2:] {
		clear(last.Data[:len(last.Data)/last.Shape[0]])
	}
	return c.weights
}

// State is Weights as an engine takes them.
func (c *Case) State() model.State { return model.State{Weights: c.Weights()} }

// Images returns the images of a batch, as many as it has labels.
func (c *Case) Images(batch int) []float32 {
	return c.uniform(len(c.Labels[batch])*c.Net.Input.Size(), c.file.Stream+uint32(batch), 0, c.file.Pixel)
}

// Labelled returns how many images of a batch have a label.
func (c *Case) Labelled(batch int) int {
	n := 0
	for _, l := range c.Labels[batch] {
		if l >= 0 {
			n++
		}
	}
	return n
}

// uniform draws values in mean +- scale.
func (c *Case) uniform(n int, stream uint32, mean, scale float64) []float32 {
	x := make([]float32, n)
	words(n, stream, uint32(c.Seed), func(i int, word uint32) {
		u := (float64(word)+0.5)/(1<<31) - 1
		x[i] = float32(mean + float64(scale*u))
	})
	return x
}

// words calls f with the first n words of a stream.
func words(n int, stream uint32, seed uint32, f func(i int, word uint32)) {
	const key = 0x676f6c64 // make.py has it too
	for i := 0; i < n; i += 4 {
		w := model.Philox4x32([4]uint32{uint32(i / 4), stream}, [2]uint32{seed, key})
		for j := range min(4, n-i) {
			f(i+j, w[j])
		}
	}
}
