package weights

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"alexnet/model"
)

// FromCaffe makes tensors that [ReadCaffe] read the weights of net, whose layers
// must have the names and sizes that they have in Caffe; ts must have nothing else.
// The memory of ts becomes that of the result. Three things are not as in Caffe:
//
//   - Caffe's images have the channels B, G, R, ours R, G, B: the first layer's input
//     channels change places. Pixels from 0 to 255 less their mean are what both take.
//   - Before 2014 every blob had four dimensions; leading ones are dropped.
//   - Caffe's dropout scales when training, ours when predicting: the weights of the
//     next layer are divided by what ours multiplies with, 1 - rate.
//
// Both flatten the input of a fully connected layer as channel, row, column. It
// returns a *model.MismatchError if tensors and net do not belong together, and an
// *UnsupportedError if the net cannot express what Caffe computes.
func FromCaffe(net *model.Net, ts []model.Tensor) ([]model.Tensor, error) {
	if err := net.Validate(); err != nil {
		return nil, err
	}
	byName := make(map[string]model.Tensor, len(ts))
	for _, t := range ts {
		byName[t.Name] = t
	}
	var out []model.Tensor
	for _, p := range net.Params() {
		t, ok := byName[p.Name]
		if !ok {
			return nil, &model.MismatchError{Net: net.Name, Problem: p.Name + " is missing"}
		}
		delete(byName, p.Name)
		if slices.Equal(squeezed(t.Shape), squeezed(p.Shape)) {
			t.Shape = p.Shape
		}
		out = append(out, t)
	}
	for _, t := range ts {
		if _, ok := byName[t.Name]; ok {
			return nil, &model.MismatchError{Net: net.Name, Problem: t.Name + " is not a parameter of the net"}
		}
	}
	if err := net.CheckTensors(out); err != nil {
		return nil, err
	}
	first, err := firstConv(net, caffeFormat)
	if err != nil {
		return nil, err
	}
	swapRedBlue(first, out[0].Data)
	return out, undoDropout(net, out, caffeFormat)
}

// firstConv returns the layer that takes the picture, if it is a convolution over
// three channels.
func firstConv(net *model.Net, format string) (*model.Layer, error) {
	l := &net.Layers[0]
	if l.Kind != model.Conv || net.Input.C != 3 || l.GroupCount() != 1 {
		return nil, &UnsupportedError{Format: format, Where: "net " + net.Name,
			Problem: "the first layer must be a convolution over three channels, in one group, for its colours to be adapted"}
	}
	return l, nil
}

// swapRedBlue swaps the first and the last of the three input channels.
func swapRedBlue(l *model.Layer, w []float32) {
	plane := l.Kernel * l.Kernel
	for ; len(w) > 0; w = w[3*plane:] {
		for i := range plane {
			w[i], w[2*plane+i] = w[2*plane+i], w[i]
		}
	}
}

// undoDropout divides weights by the 1 - rate of the dropout before them, which
// other programs multiply with when they train (by 1/(1-rate)) and ours when it
// predicts. ReLU and pooling between the two let a positive factor pass.
func undoDropout(net *model.Net, ts []model.Tensor, format string) error {
	scale, next := 1.0, 0
	for i := range net.Layers {
		switch l := &net.Layers[i]; l.Kind {
		case model.Dropout:
			scale *= 1 - l.Rate
		case model.Conv, model.Local, model.FC:
			if scale != 1 {
				for j, v := range ts[next].Data {
					ts[next].Data[j] = float32(float64(v) / scale)
				}
			}
			scale, next = 1, next+2
		case model.ReLU, model.MaxPool:
		default:
			if scale != 1 {
				return &UnsupportedError{Format: format, Where: "layer " + l.Name,
					Problem: fmt.Sprintf("a %s after dropout cannot be had from the weights: the dropout of other programs scales when training", l.Kind)}
			}
		}
	}
	return nil
}

// Torchvision's normalisation: (pixel/255 - mean) / deviation, for R, G, B.
//
//nolint:gochecknoglobals // read only
var (
	torchvisionMean      = [3]float64{0.485, 0.456, 0.406}
	torchvisionDeviation = [3]float64{0.229, 0.224, 0.225}
)

// Fold says how well torchvision's normalisation went into the first layer. A mean
// is what the net's images are less of, in pixel levels from 0 to 255.
type Fold struct {
	Mean [3]float64 // of each channel: what the weights now expect
	// What cannot be folded, because it is not the same at every position: the zeros
	// of padding, which stand for torchvision's mean there and for ours here, and the
	// differences within a mean image. It changes the outputs of the first layer,
	// before its ReLU, by MaxError at most, and by MeanError in the mean of all
	// positions and channels. Both are 0 for torchvision's own mean.
	MaxError, MeanError float64
}

// IsTorchvision reports whether tensors have the names of torchvision's alexnet:
// features.N and classifier.N.
func IsTorchvision(ts []model.Tensor) bool {
	return len(ts) > 0 && !slices.ContainsFunc(ts, func(t model.Tensor) bool {
		return !strings.HasPrefix(t.Name, "features.") && !strings.HasPrefix(t.Name, "classifier.")
	})
}

// FromTorchvision makes the state dict of torchvision's alexnet, or of a net built
// like it, the weights of net: the convolutions features.N, in the order of N, are
// the net's convolutions, and classifier.N its fully connected layers. The memory of
// ts becomes that of the result.
//
// mean is what the net's images are less of: one value for each of the three
// channels, a mean image of the size of the net's input, or nil for torchvision's
// own mean. With x = pixel - M our pixel and M_c the mean of channel c, torchvision
// sees
//
//	(pixel/255 - m_c)/s_c = x/(255 s_c) + (M_c - 255 m_c)/(255 s_c)
//
// so the first convolution's weights of channel c are divided by 255 s_c, and the
// sum over its window and channels of these times M_c - 255 m_c goes to the bias.
// [Fold] says what remains. Dropout is treated as in [FromCaffe], whose errors it
// returns.
func FromTorchvision(net *model.Net, ts []model.Tensor, mean []float32) ([]model.Tensor, Fold, error) {
	if err := net.Validate(); err != nil {
		return nil, Fold{}, err
	}
	out, err := torchvisionNames(net, ts)
	if err != nil {
		return nil, Fold{}, err
	}
	if err := net.CheckTensors(out); err != nil {
		return nil, Fold{}, err
	}
	first, err := firstConv(net, torchFormat)
	if err != nil {
		return nil, Fold{}, err
	}
	fold, picture, err := means(net, mean)
	if err != nil {
		return nil, Fold{}, err
	}
	w, bias := out[0].Data, out[1].Data
	plane := first.Kernel * first.Kernel
	for o := range bias {
		sum := float64(bias[o])
		for c := range 3 {
			own := w[(3*o+c)*plane:][:plane]
			for i, v := range own {
				folded := float64(v) / (255 * torchvisionDeviation[c])
				sum += folded * (fold.Mean[c] - 255*torchvisionMean[c])
				own[i] = float32(folded)
			}
		}
		bias[o] = float32(sum)
	}
	fold.errors(net, w, picture)
	return out, fold, undoDropout(net, out, torchFormat)
}

// torchvisionNames returns ts in the net's order and with its names.
func torchvisionNames(net *model.Net, ts []model.Tensor) ([]model.Tensor, error) {
	type place struct {
		part   string
		number int
	}
	places := make(map[place]map[string]model.Tensor)
	order := map[string][]place{}
	for _, t := range ts {
		part := strings.Split(t.Name, ".")
		number := -1
		if len(part) == 3 && (part[0] == "features" || part[0] == "classifier") && (part[2] == "weight" || part[2] == "bias") {
			if n, err := strconv.Atoi(part[1]); err == nil {
				number = n
			}
		}
		if number < 0 {
			return nil, &UnsupportedError{Format: torchFormat, Where: fmt.Sprintf("tensor %q", t.Name),
				Problem: "torchvision's alexnet has features.N and classifier.N, weight and bias"}
		}
		p := place{part[0], number}
		if places[p] == nil {
			places[p] = make(map[string]model.Tensor)
			order[p.part] = append(order[p.part], p)
		}
		places[p][part[2]] = t
	}
	for _, ps := range order {
		slices.SortFunc(ps, func(a, b place) int { return a.number - b.number })
	}
	var out []model.Tensor
	for i := range net.Layers {
		l := &net.Layers[i]
		part := map[model.Kind]string{model.Conv: "features", model.FC: "classifier"}[l.Kind]
		if part == "" {
			continue
		}
		if len(order[part]) == 0 {
			return nil, &model.MismatchError{Net: net.Name, Problem: fmt.Sprintf("the file has no %s layer for %s", part, l.Name)}
		}
		p := order[part][0]
		order[part] = order[part][1:]
		for _, name := range []string{"weight", "bias"} {
			t, ok := places[p][name]
			if !ok {
				return nil, &model.MismatchError{Net: net.Name, Problem: fmt.Sprintf("%s.%d.%s is missing", p.part, p.number, name)}
			}
			t.Name = l.Name + "." + name
			out = append(out, t)
		}
	}
	for part, left := range order {
		if len(left) > 0 {
			return nil, &model.MismatchError{Net: net.Name, Problem: fmt.Sprintf("%s.%d is one layer more than the net has", part, left[0].number)}
		}
	}
	return out, nil
}

// means returns the mean of each channel, and the mean image if it is one.
func means(net *model.Net, mean []float32) (Fold, []float32, error) {
	var f Fold
	switch len(mean) {
	case 0:
		for c := range f.Mean {
			f.Mean[c] = 255 * torchvisionMean[c]
		}
		return f, nil, nil
	case 3:
		for c := range f.Mean {
			f.Mean[c] = float64(mean[c])
		}
		return f, nil, nil
	case net.Input.Size():
		plane := net.Input.H * net.Input.W
		for c := range f.Mean {
			for _, v := range mean[c*plane:][:plane] {
				f.Mean[c] += float64(v) / float64(plane)
			}
		}
		return f, mean, nil
	}
	return f, nil, fmt.Errorf("a mean of %d values: 3, or a mean image of %dx%dx%d, are needed", len(mean), net.Input.C, net.Input.H, net.Input.W)
}

// errors sets MaxError and MeanError: it convolves, with the folded weights, the
// picture of what our input is away from torchvision's, padding included.
func (f *Fold) errors(net *model.Net, w, picture []float32) {
	l, in := &net.Layers[0], net.Input
	shapes, _ := net.Shapes()
	out := shapes[0]
	side := func(n int) int { return n + 2*l.Pad + l.PadEnd }
	height, width := side(in.H), side(in.W)
	away := make([]float64, 3*height*width)
	exact := true
	for c := range 3 {
		// A zero of torchvision's padding is the pixel 255 m_c, of ours the pixel M_c.
		pad := 255*torchvisionMean[c] - f.Mean[c]
		for y := range height {
			for x := range width {
				py, px := y-l.Pad, x-l.Pad
				e := 0.0
				if py < 0 || py >= in.H || px < 0 || px >= in.W {
					e = pad
				} else if picture != nil {
					e = float64(picture[(c*in.H+py)*in.W+px]) - f.Mean[c]
				}
				away[(c*height+y)*width+x] = e
				exact = exact && e == 0
			}
		}
	}
	if exact {
		return
	}
	for o := range out.C {
		for y := range out.H {
			for x := range out.W {
				e := errorAt(l, w[o*3*l.Kernel*l.Kernel:], away, height, width, y*l.Stride, x*l.Stride)
				f.MaxError = max(f.MaxError, e)
				f.MeanError += e / float64(out.Size())
			}
		}
	}
}

// errorAt is the size of the convolution of the three planes away at a position.
func errorAt(l *model.Layer, w []float32, away []float64, height, width, y, x int) float64 {
	sum := 0.0
	for c := range 3 {
		for ky := range l.Kernel {
			row := away[(c*height+y+ky)*width+x:][:l.Kernel]
			for kx, e := range row {
				sum += float64(w[(c*l.Kernel+ky)*l.Kernel+kx]) * e
			}
		}
	}
	return max(sum, -sum)
}
