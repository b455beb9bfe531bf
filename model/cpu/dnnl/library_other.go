//go:build !(linux && (amd64 || arm64)) || static

package dnnl

import "errors"

// Library stands for oneDNN where it cannot be called.
type Library struct{}

// Desc stands for an order of values.
type Desc struct{}

// Primitive stands for a computation.
type Primitive struct{}

// Context stands for what a net needs of the library.
type Context struct{}

var errNone = errors.New("oneDNN is not used on this system or by this build")

func libraryPaths() []string { return nil }

// Open returns an error.
func Open(string) (*Library, error) { return nil, errNone }

// Name returns nothing.
func (l *Library) Name() string { return "" }

// NewContext returns an error.
func (l *Library) NewContext(int) (*Context, error) { return nil, errNone }

// Floats returns 0.
func (d *Desc) Floats() int { return 0 }

// Desc returns nil.
func (p *Primitive) Desc(Arg) *Desc { return nil }

// Name returns nothing.
func (c *Context) Name() string { return "" }

// Close does nothing.
func (c *Context) Close() {}

// Bytes returns 0.
func (c *Context) Bytes() int64 { return 0 }

// Plain returns an error, as all that follow.
func (c *Context) Plain(...int) (*Desc, error) { return nil, errNone }

// PlainOf returns an error.
func (c *Context) PlainOf(Type, ...int) (*Desc, error) { return nil, errNone }

// ChannelsLast returns an error.
func (c *Context) ChannelsLast(_ Type, _, _, _, _ int) (*Desc, error) { return nil, errNone }

// Same returns false.
func (c *Context) Same(_, _ *Desc) bool { return false }

// Run returns an error.
func (c *Context) Run(*Primitive, ...Buffer) error { return errNone }

// ConvForward returns an error.
func (c *Context) ConvForward(Conv, bool) (*Primitive, error) { return nil, errNone }

// ConvBackwardData returns an error.
func (c *Context) ConvBackwardData(Conv, *Primitive) (*Primitive, error) { return nil, errNone }

// ConvBackwardWeights returns an error.
func (c *Context) ConvBackwardWeights(Conv, *Primitive) (*Primitive, error) { return nil, errNone }

// ProductForward returns an error.
func (c *Context) ProductForward(Product, bool) (*Primitive, error) { return nil, errNone }

// ProductBackwardData returns an error.
func (c *Context) ProductBackwardData(Product, *Primitive) (*Primitive, error) { return nil, errNone }

// ProductBackwardWeights returns an error.
func (c *Context) ProductBackwardWeights(Product, *Primitive) (*Primitive, error) {
	return nil, errNone
}

// PoolForward returns an error.
func (c *Context) PoolForward(Pool, *Desc) (*Primitive, error) { return nil, errNone }

// PoolBackward returns an error.
func (c *Context) PoolBackward(Pool, *Primitive) (*Primitive, error) { return nil, errNone }

// NormForward returns an error.
func (c *Context) NormForward(Norm, *Desc) (*Primitive, error) { return nil, errNone }

// NormBackward returns an error.
func (c *Context) NormBackward(Norm, *Primitive) (*Primitive, error) { return nil, errNone }

// ReLUForward returns an error.
func (c *Context) ReLUForward(*Desc) (*Primitive, error) { return nil, errNone }

// ReLUBackward returns an error.
func (c *Context) ReLUBackward(*Primitive) (*Primitive, error) { return nil, errNone }

// TanhForward returns an error.
func (c *Context) TanhForward(*Desc) (*Primitive, error) { return nil, errNone }

// TanhBackward returns an error.
func (c *Context) TanhBackward(*Primitive) (*Primitive, error) { return nil, errNone }

// Reorder returns an error.
func (c *Context) Reorder(_, _ *Desc) (*Primitive, error) { return nil, errNone }
