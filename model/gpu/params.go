package gpu

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// param is a parameter in the device's memory.
type param struct {
	spec model.ParamSpec
	at   int // of its first value in the flat arrays, a multiple of kernels.Chunk
	rows rowMap
	keep device.Ptr // of a weight with zeros between: which values are none
}

// params are all parameters, in flat arrays in the order of the model's. Each begins
// at a multiple of kernels.Chunk; the gaps are zeros, and stay so.
type params struct {
	arena    arena
	list     []param
	chunks   int
	weights  device.Ptr // float32, as all but half
	velocity device.Ptr
	gradient device.Ptr
	half     device.Ptr // the weights as bfloat16; none for other precisions
	owner    device.Ptr // uint32 of each chunk: whose it is
	segments device.Ptr // two float32 of each parameter: its rate's and its decay's factor
	flags    device.Ptr // uint32 of each parameter: what Update found
}

// layParams places the parameters whose rows these are.
func layParams(specs []model.ParamSpec, rows []rowMap) params {
	p := params{list: make([]param, len(specs))}
	at := 0
	for i, spec := range specs {
		p.list[i] = param{spec: spec, at: at, rows: rows[i]}
		at += (rows[i].size() + kernels.Chunk - 1) / kernels.Chunk * kernels.Chunk
	}
	p.chunks = at / kernels.Chunk
	return p
}

// values returns the length of the flat arrays.
func (p *params) values() int { return p.chunks * kernels.Chunk }

// alloc allocates the arrays.
func (p *params) alloc(half bool) {
	n := p.values()
	p.weights, p.velocity, p.gradient = p.arena.alloc(4*n), p.arena.alloc(4*n), p.arena.alloc(4*n)
	if half {
		p.half = p.arena.alloc(2 * n)
	}
	p.owner, p.segments, p.flags = p.arena.alloc(4*p.chunks), p.arena.alloc(8*len(p.list)), p.arena.alloc(4*len(p.list))
	for i := range p.list {
		if q := &p.list[i]; q.rows.padded() {
			q.keep = p.arena.alloc(q.rows.size())
		}
	}
}

// The addresses of parameter i in the arrays.
func (p *params) weightAt(i int) device.Ptr   { return p.weights.Add(4 * p.list[i].at) }
func (p *params) gradientAt(i int) device.Ptr { return p.gradient.Add(4 * p.list[i].at) }
func (p *params) halfAt(i int) device.Ptr     { return p.half.Add(2 * p.list[i].at) }

// setUp fills what stays as it is, and clears the arrays.
func (p *params) setUp(t *transfer) error {
	var owner, segments []byte
	var errs []error
	for i := range p.list {
		q := &p.list[i]
		for range (q.rows.size() + kernels.Chunk - 1) / kernels.Chunk {
			owner = binary.LittleEndian.AppendUint32(owner, uint32(i))
		}
		for _, v := range [2]float64{q.spec.LRMult, q.spec.DecayMult} {
			segments = binary.LittleEndian.AppendUint32(segments, math.Float32bits(float32(v)))
		}
		if q.keep != 0 {
			errs = append(errs, t.in(q.keep, q.rows.keep()))
		}
	}
	errs = append(errs, t.in(p.owner, owner), t.in(p.segments, segments))
	for _, a := range [3]device.Ptr{p.weights, p.velocity, p.gradient} {
		errs = append(errs, t.stream.Clear(a, 4*p.values()))
	}
	return cmp.Or(append(errs, t.stream.Sync())...)
}

// write copies tensors in the model's order to one of the float32 arrays.
func (p *params) write(t *transfer, array device.Ptr, tensors [][]float32) error {
	for i := range p.list {
		q := &p.list[i]
		at, data := array.Add(4*q.at), tensors[i]
		err := t.pieces(q.rows.rows, 4*q.rows.own, func(from, n int, piece []byte) error {
			q.rows.spread(floats(piece), data[from*q.rows.model:][:n*q.rows.model], from)
			return t.stream.CopyIn(at.Add(4*from*q.rows.own), piece)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", q.spec.Name, err)
		}
	}
	return nil
}

// read copies one of the float32 arrays to tensors in the model's order.
func (p *params) read(t *transfer, tensors [][]float32, array device.Ptr) error {
	for i := range p.list {
		q := &p.list[i]
		at, data := array.Add(4*q.at), tensors[i]
		err := t.pieces(q.rows.rows, 4*q.rows.own, func(from, n int, piece []byte) error {
			if err := cmp.Or(t.stream.CopyOut(piece, at.Add(4*from*q.rows.own)), t.stream.Sync()); err != nil {
				return err
			}
			q.rows.collect(data[from*q.rows.model:][:n*q.rows.model], floats(piece), from)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", q.spec.Name, err)
		}
	}
	return nil
}

// room returns memory of the host for all tensors, in the model's order.
func (p *params) room() [][]float32 {
	tensors := make([][]float32, len(p.list))
	for i := range p.list {
		tensors[i] = make([]float32, p.list[i].spec.Len())
	}
	return tensors
}

// transfer copies between the host and the device, piece by piece through page-locked
// memory, and waits.
type transfer struct {
	stream device.Stream
	buffer []byte
}

// transferBytes is the size of a transfer's buffer: large enough for the bus's full
// speed.
const transferBytes = 8 << 20

// pieces calls f for pieces of so many rows, as many of them as fit into the buffer, with
// room for them, and waits after each.
func (t *transfer) pieces(rows, rowBytes int, f func(from, n int, piece []byte) error) error {
	if rowBytes > len(t.buffer) {
		return fmt.Errorf("rows of %d bytes: at most %d can be copied", rowBytes, len(t.buffer))
	}
	each := len(t.buffer) / rowBytes
	for from := 0; from < rows; from += each {
		n := min(each, rows-from)
		if err := cmp.Or(f(from, n, t.buffer[:n*rowBytes]), t.stream.Sync()); err != nil {
			return err
		}
	}
	return nil
}

// in copies bytes to the device.
func (t *transfer) in(to device.Ptr, from []byte) error {
	return t.pieces(len(from), 1, func(at, n int, piece []byte) error {
		copy(piece, from[at:at+n])
		return t.stream.CopyIn(to.Add(at), piece)
	})
}

// out copies bytes to the host.
func (t *transfer) out(to []byte, from device.Ptr) error {
	return t.pieces(len(to), 1, func(at, n int, piece []byte) error {
		err := cmp.Or(t.stream.CopyOut(piece, from.Add(at)), t.stream.Sync())
		copy(to[at:], piece)
		return err
	})
}

// floats views bytes as float32, bytesOf the other way round.
func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func bytesOf(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}
