package figure

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"alexnet/model"
)

// firstWeights draws the weights of a net's first layer alone.
func firstWeights(net *model.Net) []model.Tensor {
	p := net.Params()[0]
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]float32, p.Len())
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	return []model.Tensor{{Name: p.Name, Shape: p.Shape, Data: data}}
}

// Every weight is where it belongs, in its colour, in both contrasts.
func TestKernels(t *testing.T) {
	for name, grid := range map[string]KernelGrid{
		"alexnet":             {Layer: "conv1", Kernels: 96, Channels: 3, Side: 11, Towers: 2, Columns: 16, Scale: 4},
		"alexnet-torchvision": {Layer: "conv1", Kernels: 64, Channels: 3, Side: 11, Towers: 1, Columns: 16, Scale: 4},
		"lenet":               {Layer: "conv1", Kernels: 20, Channels: 1, Side: 5, Towers: 1, Columns: 10, Scale: 9},
	} {
		net, err := model.Preset(name, 10)
		if err != nil {
			t.Fatal(err)
		}
		weights := firstWeights(net)
		data := weights[0].Data
		size := grid.Channels * grid.Side * grid.Side
		for _, contrast := range []Contrast{PerFigure, PerKernel} {
			img, got, err := Kernels(net, weights, KernelOptions{Contrast: contrast})
			if err != nil {
				t.Fatal(err)
			}
			want := grid
			want.Contrast, want.Largest = contrast, largest(data)
			if got != want {
				t.Fatalf("%s: %+v, want %+v", name, got, want)
			}
			for k := range grid.Kernels {
				kernel := data[k*size:][:size]
				white := got.Largest
				if contrast == PerKernel {
					white = largest(kernel)
				}
				tower, n := k/(grid.Kernels/grid.Towers), k%(grid.Kernels/grid.Towers)
				rows := grid.Kernels / grid.Towers / grid.Columns
				side := grid.Side * grid.Scale
				corner := image.Pt(4+n%grid.Columns*(side+4), 4+(tower*rows+n/grid.Columns)*(side+4)+16*tower)
				for y := 0; y < side; y += 3 { // at least once in each square of a weight
					for x := 0; x < side; x += 3 {
						i := y/grid.Scale*grid.Side + x/grid.Scale
						level := func(c int) uint8 {
							v := kernel[c%grid.Channels*grid.Side*grid.Side+i]
							return uint8(math.Round(127.5 * (1 + float64(v)/float64(white))))
						}
						if got, want := img.NRGBAAt(corner.X+x, corner.Y+y), (color.NRGBA{level(0), level(1), level(2), 255}); got != want {
							t.Fatalf("%s, kernel %d, pixel %d,%d: %v, want %v", name, k, x, y, got, want)
						}
					}
				}
			}
			last := got.at(grid.Kernels - 1).Max
			if img.Rect.Max.Y != last.Y+4 || img.Rect.Max.X < last.X+4 {
				t.Errorf("%s: %v pixels, and the last kernel ends at %v", name, img.Rect, last)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 3, 7: 7, 20: 10, 32: 16, 48: 16, 64: 16, 96: 24, 97: 20} {
		if got := columns(n); got != want {
			t.Errorf("%d kernels in %d columns, want %d", n, got, want)
		}
	}
}

func TestKernelsRefused(t *testing.T) {
	small, err := model.Preset("lenet", 10)
	if err != nil {
		t.Fatal(err)
	}
	broken := small.Init(1)
	broken[0].Data[3] = float32(math.NaN())
	odd := *small
	odd.Input.C = 2
	linear := &model.Net{Name: "linear", Input: small.Input, Layers: []model.Layer{{Name: "fc1", Kind: model.FC, Out: 10}}}
	for _, c := range []struct {
		net     *model.Net
		weights []model.Tensor
		o       KernelOptions
		want    string
	}{
		{linear, linear.Init(1), KernelOptions{}, "net linear does not begin with a convolution"},
		{&odd, odd.Init(1), KernelOptions{}, "kernels of 2 channels (layer conv1 of net lenet) cannot be drawn"},
		{small, broken, KernelOptions{}, "weights of layer conv1 are not finite"},
		{small, nil, KernelOptions{}, "0 weights of layer conv1 instead of 500"},
		{small, small.Init(1), KernelOptions{Contrast: "high"}, `contrast "high": there are "figure" and "kernel"`},
		{small, small.Init(1), KernelOptions{Scale: 99999}, "99999 pixels a weight: at most 64 can be drawn"},
	} {
		if _, _, err := Kernels(c.net, c.weights, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
