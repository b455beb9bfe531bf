package cpu

import (
	"errors"
	"math"
	"testing"

	"alexnet/model"
)

// A batch that no machine has the memory for is an error that says so, wherever its
// buffers are made: Go itself would end the process.
func TestBatchLargerThanTheMemory(t *testing.T) {
	net := tinyNet()
	large := func(t *testing.T, err error, batch int, has uint64) {
		t.Helper()
		var e *MemoryError
		if !errors.As(err, &e) || e.Batch != batch || e.Needs <= e.Has || has > 0 && e.Has != has {
			t.Errorf("error %v (%+v)", err, e)
		}
	}
	e, err := New(net, model.State{}, Options{Batch: math.MaxInt32, Threads: 1})
	if e != nil {
		t.Error("an engine in spite of the error")
	}
	large(t, err, math.MaxInt32, 0)
	for _, b := range []Backend{Plain, Auto} {
		const batch = 100
		free := newEngine(t, net, Options{Batch: batch, Threads: 1, Backend: b})
		has := uint64(free.Memory()) // enough for the images
		e := newEngine(t, net, Options{Batch: batch, Threads: 1, Backend: b, memory: has})
		images, labels, probs := make([]float32, batch*net.Input.Size()), make([]int32, batch), make([]float32, batch*net.Classes)
		_, err := e.Backward(images, labels, 0)
		large(t, err, batch, has)
		large(t, e.Predict(images, batch, probs), batch, has)
		large(t, e.Features("fc3", images, batch, make([]float32, batch*9)), batch, has)
		if err := free.Predict(images, batch, probs); err != nil {
			t.Error(err)
		}
	}
}
