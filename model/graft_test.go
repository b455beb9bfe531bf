package model

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// A net for other classes takes all weights but those of its classifier, which are the
// ones that Init would draw.
func TestGraft(t *testing.T) {
	old, err := Preset("alexnet-small", 7)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Preset("alexnet-small", 4)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Classifier(); got != "fc8" {
		t.Errorf("the classifier is %q", got)
	}
	weights, fresh := old.Init(3), n.Init(5)
	if got := n.Misfits(weights); !reflect.DeepEqual(got, []string{"fc8"}) {
		t.Errorf("layers that do not fit: %v", got)
	}
	if got := old.Misfits(weights); got != nil {
		t.Errorf("layers of the same net that do not fit: %v", got)
	}
	for _, order := range []bool{true, false} {
		given := append([]Tensor(nil), weights...)
		if !order {
			given[0], given[3] = given[3], given[0]
		}
		made, err := n.Graft(given, 5, "fc8")
		if err != nil {
			t.Fatal(err)
		}
		if err := n.CheckTensors(made); err != nil {
			t.Fatal(err)
		}
		for i, got := range made {
			want := weights[i]
			if strings.HasPrefix(got.Name, "fc8.") {
				want = fresh[i]
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s is neither kept nor drawn as it should be", got.Name)
			}
		}
	}
}

// What does not fit is listed, all of it.
func TestGraftOfWhatDoesNotFit(t *testing.T) {
	n, err := Preset("alexnet-small", 4)
	if err != nil {
		t.Fatal(err)
	}
	weights := n.Init(1)
	bad := append([]Tensor(nil), weights[1:]...)
	bad[2].Data = bad[2].Data[1:]
	bad[4].Shape = []int{1}
	bad = append(bad, Tensor{Name: "fc9.weight"}, Tensor{Name: "odd"})
	_, err = n.Graft(bad, 1)
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"conv1.weight is missing", "conv2.bias has 63 values for its shape [64]", "conv3.bias is [1], the net needs [96]",
		"fc9.weight is not a parameter of the net", "odd is not a parameter of the net"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	for _, name := range []string{"fc9", "relu1", ""} {
		if _, err := n.Graft(weights, 1, name); err == nil || !strings.Contains(err.Error(), "has no layer") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// The net on one GPU that section 3.2 compares with has half the kernels, but for the
// last convolution, and about as many parameters as the paper's.
func TestHalfTower(t *testing.T) {
	n, err := Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	half := n.HalfTower()
	if err := half.Validate(); err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, l := range half.Layers {
		if l.Kind == Conv {
			out = append(out, l.Out)
		}
		if l.Groups != 0 {
			t.Errorf("%s is in %d groups", l.Name, l.Groups)
		}
	}
	if want := []int{48, 128, 192, 192, 256}; !reflect.DeepEqual(out, want) {
		t.Errorf("kernels %v, want %v", out, want)
	}
	if n.Layers[0].Out != 96 {
		t.Error("the net itself was changed")
	}
	if got, all := half.ParamCount(), n.ParamCount(); got > all || got < all*95/100 {
		t.Errorf("%d parameters, the paper's net has %d", got, all)
	}
}
