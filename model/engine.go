package model

import "time"

// Score is what a forward pass says about a batch of labelled images.
type Score struct {
	N    int     // images counted
	Loss float64 // sum of their cross-entropies, in nats
	Top1 int     // images whose label has the highest probability
	Top5 int     // images whose label is among the five highest
}

// Add adds the counts of t to s.
func (s *Score) Add(t Score) {
	s.N += t.N
	s.Loss += t.Loss
	s.Top1 += t.Top1
	s.Top5 += t.Top5
}

// Engine trains and runs one net on one machine. It is not safe for concurrent
// use.
//
// images is always planar float32, N x C x H x W of Net().Input, mean subtracted.
type Engine interface {
	// Net returns the net that the engine was made for.
	Net() *Net

	// Batch returns the largest number of images of one call.
	Batch() int

	// Backward computes the gradient of the mean loss of the images with a label, with
	// dropout, and keeps it for Update. 1 <= len(labels) <= Batch(), and images
	// holds at least that many. The masks of dropout are a function of the engine's
	// seed, step, the layer and the position. Labels are in [0, Classes); -1 marks an
	// image that is as good as absent: it counts neither in the score nor in the
	// gradient, nor in what the mean is divided by, which is Score.N. So the gradient
	// is as long as without it, and those of several batches, or of several ranks, are
	// combined by their N: the sum of N times the gradient, divided by the sum of N.
	// Without any label the gradient is zero. A loss that is not finite is returned as
	// it is, not as an error.
	//
	// The engine may read the images where they are; it does not write them, and does
	// not look at them after the call.
	Backward(images []float32, labels []int32, step uint64) (Score, error)

	// Update applies the update rule, with the gradient of the last Backward, to all
	// parameters. If a gradient, or a weight before or after, is not finite, it returns
	// a *NotFiniteError, and the weights are of no more use: the engine must not be
	// trained on, nor its state saved, before a Restore.
	Update(h Hyper) error

	// Predict writes the class probabilities of n <= Batch() images to probs, n x
	// Classes, without dropout.
	Predict(images []float32, n int, probs []float32) error

	// Snapshot returns a copy of weights and velocities.
	Snapshot() (State, error)

	// Restore replaces weights and velocities by copies of st's; a nil Velocity means
	// zeros. On error nothing has changed.
	Restore(st State) error

	// Close frees what the engine holds. It may be called more than once; other
	// methods fail after it.
	Close() error
}

// GradientEngine is an Engine whose gradient can be looked at and changed between
// Backward and Update: to sum it over several batches, or to clip it.
type GradientEngine interface {
	Engine

	// Gradients returns the memory of the gradient that the last Backward keeps for
	// Update: for each of Net().Params() a slice of as many values, in an order that is
	// the engine's own but stays the same; where it is a StateEngine, in that of the
	// weights. It may be read and written until the next call of another method, State and
	// Weights excepted. It fails when there is no gradient.
	Gradients() ([][]float32, error)
}

// SlicedEngine is an Engine that can train on a slice of a batch, as a rank of several
// does: with the masks that the engine of the whole batch would use.
type SlicedEngine interface {
	Engine

	// SetFirst says which place in the whole batch the first image of each Backward that
	// follows has, from 0; at first it is 0. Dropout's positions count from there
	// (DropoutMask).
	SetFirst(image int)
}

// StateEngine is an Engine that shows its weights and velocities without making a copy
// of them.
type StateEngine interface {
	Engine

	// State returns what Snapshot does, but in memory of the engine, which is valid
	// until the next call of another method and must not be written.
	State() (State, error)
}

// WeightsEngine is a StateEngine that shows its weights alone for less than State costs.
type WeightsEngine interface {
	StateEngine

	// Weights returns the weights of State, in the same memory.
	Weights() ([]Tensor, error)
}

// ThreadedEngine is an Engine that computes with a number of threads of this machine.
type ThreadedEngine interface {
	Engine

	// Threads returns how many. Between its calls they are idle, and its caller may
	// use as many for the arithmetic of its own.
	Threads() int
}

// FaultEngine is an Engine that can say where its numbers have broken down.
type FaultEngine interface {
	Engine

	// Fault names what is the first, in the order of the forward pass of the last
	// Backward, to hold a NaN or an infinity: "the images", "conv1.weight", "the output of
	// conv1". It is empty when all is finite.
	Fault() string
}

// ArithmeticEngine is an Engine that can say what the last bits of its results depend
// on.
type ArithmeticEngine interface {
	Engine

	// Arithmetic names the library, its release, and what else decides how its sums are
	// rounded. Engines of the same net of which it is the same compute the same bits.
	Arithmetic() string
}

// FeatureEngine is an Engine that gives what a layer in the middle of its net computes.
type FeatureEngine interface {
	Engine

	// Features writes the features called layer (Net.FeatureLayer) of n <= Batch()
	// images to features, n x the size of their shape, each in the order [channel][row]
	// [column], without dropout. What is computed is what Predict computes on its way.
	// It returns a *LayerError for a layer that the net does not have.
	Features(layer string, images []float32, n int, features []float32) error
}

// Placement says what remains to be done with an image that travels as it was stored, cut
// and mirrored: where it lay in its picture, whose mean is to be subtracted there, and
// what is to be added.
type Placement struct {
	Top, Left int        // of the crop, in pixels
	Flip      bool       // it is mirrored left to right
	Shift     [3]float32 // added to channel 0, 1 and 2, on the scale of pixels (0 to 255)
}

// Form is what the values of a staged image are.
type Form int

// The forms. All are planar, C x H x W.
const (
	FormFloat32  Form = iota // finished: what Backward takes
	FormBFloat16             // finished, the upper halves of float32, rounded to nearest even
	FormStored               // as they are in the records, cut and mirrored: a Placement says what remains to be done
)

// Staged is a batch on its way to an engine, or there.
type Staged interface {
	// Copied waits until the memory that the batch came from may be written again.
	Copied() error

	// Drop waits likewise and forgets the batch. It has no effect on one that was used.
	Drop() error
}

// StagingEngine is an Engine that fetches the batches of the next steps while it computes
// one.
type StagingEngine interface {
	Engine

	// Alloc and Free give memory that batches can be fetched from at full speed. It must
	// not be freed while a batch in it is not copied. They may be called from any
	// goroutine.
	Alloc(bytes int) ([]byte, error)
	Free([]byte) error

	// Stages returns how many batches may be staged at a time, at least 1, and Form what
	// their images must be.
	Stages() int
	Form() Form

	// Stage begins to fetch a batch: images in memory of Alloc, which must stay as it is
	// until Copied returns; a label for each, as for Backward; and, for FormStored, the
	// placement of each.
	Stage(images []byte, labels []int32, placements []Placement) (Staged, error)

	// BackwardStaged is Backward for a staged batch, which is used up.
	BackwardStaged(batch Staged, step uint64) (Score, error)
}

// Reducer adds up, over the ranks of a run, what each of them has computed.
type Reducer interface {
	// Labelled returns the number of labelled images that all ranks have, given this
	// one's. It waits for the others.
	Labelled(own int) (int, error)

	// Start begins to replace the values by their sums over all ranks, and returns. They
	// must not be touched before Wait. Calls come in the same order on all ranks.
	Start(values []float32)

	// Wait waits for all that was started, and returns the first error. It is called
	// once after each Labelled, also when nothing was started.
	Wait() error
}

// ReducingEngine is an Engine that can be one of several ranks by itself: it sums the
// gradient over them while the backward pass still computes the rest of it.
type ReducingEngine interface {
	Engine

	// Reduces reports whether it does: whether the gradient of each Backward is that of
	// the mean loss of the labelled images of all ranks. The Score is that of its own.
	Reduces() bool
}

// SummingEngine is a ReducingEngine that can say how much of its sums it hides.
type SummingEngine interface {
	ReducingEngine

	// Summing returns how long the sums over the ranks have taken since it was last called,
	// the wait for the slowest rank included, and for how much of that Backward has waited.
	// The rest is hidden behind what it computed meanwhile.
	Summing() (took, waited time.Duration)
}
