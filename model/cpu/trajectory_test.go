package cpu

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"alexnet/model"
)

var updateGolden = flag.Bool("update", false, "write testdata anew")

// TestTrajectory trains alexnet-small for ten steps on synthetic images and
// compares the losses with the stored ones. Processors differ in the last bits,
// which ten steps magnify: hence 1e-4.
func TestTrajectory(t *testing.T) {
	const steps, batch, tolerance = 10, 8, 1e-4
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, net, Options{Batch: batch, Seed: 20120930})
	var losses []float64
	r := net.Recipe()
	for s := range steps {
		images, labels := examples(net, batch, 60, uint64(s%3))
		losses = append(losses, backward(t, e, images, labels, uint64(s)).Loss)
		update(t, e, model.Hyper{LearningRate: float32(r.LearningRate), Momentum: float32(r.Momentum), WeightDecay: float32(r.WeightDecay)})
	}
	file := filepath.Join("testdata", "trajectory.json")
	if *updateGolden {
		b, err := json.MarshalIndent(losses, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != steps {
		t.Fatalf("%d stored losses, want %d: go test -update", len(want), steps)
	}
	for s := range steps {
		if !(math.Abs(losses[s]-want[s]) <= tolerance*want[s]) {
			t.Errorf("step %d: loss %.9g, stored %.9g", s, losses[s], want[s])
		}
	}
	if losses[steps-1] == losses[0] {
		t.Error("ten steps change nothing")
	}
}

// TestAlexNetStep trains the paper's net for one step and checks what can be known
// without training: the loss of a net that knows nothing is ln(1000), every
// parameter gets a gradient, probabilities add up to one.
func TestAlexNetStep(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds and more than a gigabyte")
	}
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, net, Options{Batch: 2})
	images, labels := examples(net, 2, 60, 1)
	start := time.Now()
	score := backward(t, e, images, labels, 0)
	if want := 2 * math.Log(1000); math.Abs(score.Loss-want) > 0.2*want {
		t.Errorf("the first loss is %g, want about %g", score.Loss, want)
	}
	for i, g := range gradients(t, e) {
		nonzero := 0
		for _, v := range g {
			if math.IsNaN(float64(v)) {
				t.Fatalf("%s has a gradient that is not a number", e.specs[i].Name)
			}
			if v != 0 {
				nonzero++
			}
		}
		// Half of fc6 and fc7 is dropped, for each image; 4,096 outputs of which a
		// quarter, then, has no gradient.
		if nonzero < len(g)/4 {
			t.Errorf("%s: %d of %d gradients are not zero", e.specs[i].Name, nonzero, len(g))
		}
	}
	update(t, e, model.Hyper{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005})
	probs := make([]float32, 2*1000)
	if err := e.Predict(images, 2, probs); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		total := 0.0
		for _, p := range probs[i*1000 : (i+1)*1000] {
			total += float64(p)
		}
		if math.Abs(total-1) > 1e-5 {
			t.Errorf("the probabilities of image %d add up to %g", i, total)
		}
	}
	t.Logf("a step and a prediction of 2 images with the graph's making: %v; %d MB", time.Since(start), e.Memory()>>20)
}
