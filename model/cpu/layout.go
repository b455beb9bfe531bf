package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/dnnl"
)

// chunkImages is how many images lie together in a layout of planes. It is a
// constant, and not a share of the batch, so that what happens to an image, and
// the order in which gradients are summed, do not depend on the batch's size.
const chunkImages = 8

// layout says where the values of a batch of feature maps lie in memory.
//
// The batch is cut into chunks of a few images, and a chunk is stored [channel]
// [image][row][column]. So the same channel of all of a chunk's images is one
// contiguous row, and the inner loops of convolution and normalisation run over
// long rows even where the maps are small. With chunk = 1 this is the usual order
// [image][channel][row][column], which the images come in and which fully
// connected layers use.
//
// Between layers of oneDNN values may lie in an order of its own; then nothing here
// but size applies, and a border kernel stands before all that must know the order.
type layout struct {
	shape  model.Shape
	chunk  int        // images in a chunk
	native *dnnl.Desc // an order of oneDNN's, for whole batches; nil: chunks
	half   bool       // bfloat16, always in an order of oneDNN's; see half.go
}

// typ returns what oneDNN calls the values' type.
func (l layout) typ() dnnl.Type {
	if l.half {
		return dnnl.BFloat16
	}
	return dnnl.Float32
}

// size returns the float32s of a buffer for so many images; that of an
// order of oneDNN's is always for a whole batch.
func (l layout) size(images int) int {
	if l.native != nil {
		return l.native.Floats()
	}
	return l.capacity(images) * l.shape.Size()
}

// plane returns the offset of the first value of a channel of an image.
func (l layout) plane(image, channel int) int {
	hw := l.shape.H * l.shape.W
	return image/l.chunk*l.chunk*l.shape.Size() + (channel*l.chunk+image%l.chunk)*hw
}

// channelStride is the distance from an image's channel to its next.
func (l layout) channelStride() int { return l.chunk * l.shape.H * l.shape.W }

// capacity rounds a number of images up to whole chunks.
func (l layout) capacity(images int) int { return (images + l.chunk - 1) / l.chunk * l.chunk }

// chunks returns the number of chunks that hold the given number of images.
func (l layout) chunks(images int) int { return (images + l.chunk - 1) / l.chunk }

// gather copies image from src, in this layout, to the row dst in the usual order.
func (l layout) gather(dst, src []float32, image int) {
	hw := l.shape.H * l.shape.W
	for c := range l.shape.C {
		p := l.plane(image, c)
		copy(dst[c*hw:(c+1)*hw], src[p:p+hw])
	}
}

// scatter copies a row in the usual order to image in dst, in this layout.
func (l layout) scatter(dst, src []float32, image int) {
	hw := l.shape.H * l.shape.W
	for c := range l.shape.C {
		p := l.plane(image, c)
		copy(dst[p:p+hw], src[c*hw:(c+1)*hw])
	}
}
