package traintest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"alexnet/model"
	"alexnet/model/vector"
)

// Net returns a net of one fully connected layer.
func Net(classes, side int) *model.Net {
	return &model.Net{Name: "linear", Input: model.Shape{C: 3, H: side, W: side}, Classes: classes, Layers: []model.Layer{
		{Name: "fc1", Kind: model.FC, Out: classes, InitStd: 0.0001},
		{Name: "prob", Kind: model.Softmax},
	}}
}

// Engine trains a Net in plain loops. Dropout of a quarter of the inputs, by (seed,
// step, place in the batch), makes its steps depend on their number.
type Engine struct {
	Seed uint64
	// Poison, if not nil, is called by each Backward and may alter the score.
	Poison func(step uint64, s *model.Score)
	// Reducer, if not nil, makes the engine one of several ranks.
	Reducer model.Reducer
	// Break, if not nil, is called by each Backward of a rank when half of the gradient is
	// being summed, and may let it fail.
	Break func(step uint64) error

	net            *model.Net
	batch, first   int
	weights, speed []model.Tensor
	gradient       [2][]float32
}

var (
	_ model.GradientEngine = (*Engine)(nil)
	_ model.StateEngine    = (*Engine)(nil)
	_ model.SlicedEngine   = (*Engine)(nil)
	_ model.ReducingEngine = (*Engine)(nil)
)

// NewEngine returns an engine for a net that Net made.
func NewEngine(net *model.Net, seed uint64, batch int) *Engine {
	e := &Engine{Seed: seed, net: net, batch: batch, weights: net.Init(seed)}
	e.speed = zeros(e.weights)
	for i, w := range e.weights {
		e.gradient[i] = make([]float32, len(w.Data))
	}
	return e
}

func zeros(like []model.Tensor) []model.Tensor {
	out := clone(like)
	for _, t := range out {
		clear(t.Data)
	}
	return out
}

func clone(ts []model.Tensor) []model.Tensor {
	out := make([]model.Tensor, len(ts))
	for i, t := range ts {
		out[i] = t.Clone()
	}
	return out
}

// Net implements model.Engine.
func (e *Engine) Net() *model.Net { return e.net }

// Batch implements model.Engine.
func (e *Engine) Batch() int { return e.batch }

// softmax writes the probabilities of an image whose pixels were divided by 64.
func (e *Engine) softmax(image, probs []float32) {
	w, b := e.weights[0].Data, e.weights[1].Data
	top := float32(math.Inf(-1))
	for c := range probs {
		sum := b[c]
		for i, x := range image {
			sum += w[c*len(image)+i] * x
		}
		probs[c] = sum
		top = max(top, sum)
	}
	var total float32
	for c, x := range probs {
		probs[c] = float32(math.Exp(float64(x - top)))
		total += probs[c]
	}
	for c := range probs {
		probs[c] /= total
	}
}

// Backward implements model.Engine.
func (e *Engine) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	if len(labels) < 1 || len(labels) > e.batch {
		return model.Score{}, fmt.Errorf("%d images in a batch of %d", len(labels), e.batch)
	}
	clear(e.gradient[0])
	clear(e.gradient[1])
	size := e.net.Input.Size()
	image, probs := make([]float32, size), make([]float32, e.net.Classes)
	counted, err := e.labelled(labels)
	if err != nil {
		return model.Score{}, err
	}
	var s model.Score
	for n, label := range labels {
		if label < 0 {
			continue
		}
		random := rand.New(rand.NewPCG(e.Seed, step<<32|uint64(e.first+n)))
		for i, x := range images[n*size:][:size] {
			image[i] = 0
			if random.IntN(4) > 0 {
				image[i] = x / 64
			}
		}
		e.softmax(image, probs)
		s.N++
		s.Loss -= math.Log(float64(probs[label]))
		rank := 0
		for c, p := range probs {
			if p > probs[label] {
				rank++
			}
			d := p
			if int32(c) == label {
				d--
			}
			d /= float32(counted)
			e.gradient[1][c] += d
			for i, x := range image {
				e.gradient[0][c*size+i] += d * x
			}
		}
		if rank < 1 {
			s.Top1++
		}
		if rank < 5 {
			s.Top5++
		}
	}
	if e.Poison != nil {
		e.Poison(step, &s)
	}
	return s, e.reduce(step)
}

// labelled counts the images with a label, of all ranks.
func (e *Engine) labelled(labels []int32) (int, error) {
	counted := 0
	for _, label := range labels {
		if label >= 0 {
			counted++
		}
	}
	if e.Reducer == nil {
		return counted, nil
	}
	return e.Reducer.Labelled(counted)
}

// reduce sums the gradient over the ranks.
func (e *Engine) reduce(step uint64) error {
	if e.Reducer == nil {
		return nil
	}
	e.Reducer.Start(e.gradient[1])
	if e.Break != nil {
		if err := e.Break(step); err != nil {
			return errors.Join(err, e.Reducer.Wait())
		}
	}
	e.Reducer.Start(e.gradient[0])
	return e.Reducer.Wait()
}

// Reduces implements model.ReducingEngine.
func (e *Engine) Reduces() bool { return e.Reducer != nil }

// SetFirst implements model.SlicedEngine.
func (e *Engine) SetFirst(image int) { e.first = image }

// Gradients implements model.GradientEngine.
func (e *Engine) Gradients() ([][]float32, error) { return e.gradient[:], nil }

// State implements model.StateEngine.
func (e *Engine) State() (model.State, error) {
	return model.State{Weights: e.weights, Velocity: e.speed}, nil
}

// Update implements model.Engine.
func (e *Engine) Update(h model.Hyper) error {
	for i, p := range e.net.Params() {
		h.Apply(e.weights[i].Data, e.speed[i].Data, e.gradient[i], float32(p.LRMult), float32(p.DecayMult))
	}
	for i, p := range e.net.Params() {
		if !vector.Finite(e.weights[i].Data) {
			where := p.Name
			if !vector.Finite(e.gradient[i]) {
				where = "the gradient of " + where
			}
			return &model.NotFiniteError{Where: where}
		}
	}
	return nil
}

// Predict implements model.Engine.
func (e *Engine) Predict(images []float32, n int, probs []float32) error {
	if n < 1 || n > e.batch {
		return fmt.Errorf("%d images in a batch of %d", n, e.batch)
	}
	size := e.net.Input.Size()
	image := make([]float32, size)
	for k := range n {
		for i, x := range images[k*size:][:size] {
			image[i] = x / 64
		}
		e.softmax(image, probs[k*e.net.Classes:][:e.net.Classes])
	}
	return nil
}

// Snapshot implements model.Engine.
func (e *Engine) Snapshot() (model.State, error) {
	return model.State{Weights: clone(e.weights), Velocity: clone(e.speed)}, nil
}

// Restore implements model.Engine.
func (e *Engine) Restore(st model.State) error {
	if err := e.net.CheckTensors(st.Weights); err != nil {
		return err
	}
	e.weights = clone(st.Weights)
	e.speed = zeros(e.weights)
	if st.Velocity != nil {
		e.speed = clone(st.Velocity)
	}
	return nil
}

// Close implements model.Engine.
func (e *Engine) Close() error { return nil }
