package model

import (
	"fmt"
	"strings"
)

// TableRow is one layer's size and cost.
type TableRow struct {
	Layer  string `json:"layer"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail,omitempty"` // "11x11/4 pad 0+3", "3x3/2", "0.5"
	Output Shape  `json:"output"`
	Groups int    `json:"groups,omitempty"` // convolutions, and normalisations that have more than one
	Params int64  `json:"params"`           // weights and biases
	MACs   int64  `json:"macs"`             // multiply-adds of the forward pass of one image; biases not counted
}

// Table returns a row for each layer. The net must be valid.
func (n *Net) Table() []TableRow {
	shapes, err := n.Shapes()
	if err != nil {
		return nil
	}
	rows := make([]TableRow, len(n.Layers))
	in := n.Input
	for i := range n.Layers {
		l := &n.Layers[i]
		r := TableRow{Layer: l.Name, Kind: l.Kind, Detail: l.detail(), Output: shapes[i]}
		if l.Weighted() {
			ps := l.params(in, shapes[i])
			r.Params = int64(ps[0].Len() + ps[1].Len())
			if r.MACs = int64(ps[0].Len()); l.Kind == Conv {
				r.MACs *= int64(shapes[i].H * shapes[i].W)
			}
		}
		if l.Kind == Conv || l.Groups > 1 {
			r.Groups = l.GroupCount()
		}
		rows[i], in = r, shapes[i]
	}
	return rows
}

// ParamCount returns the number of learnable values.
func (n *Net) ParamCount() int64 {
	var sum int64
	for _, r := range n.Table() {
		sum += r.Params
	}
	return sum
}

// MACs returns the multiply-adds of the forward pass of one image.
func (n *Net) MACs() int64 {
	var sum int64
	for _, r := range n.Table() {
		sum += r.MACs
	}
	return sum
}

// detail says in a few letters what the layer's fields are.
func (l *Layer) detail() string {
	switch l.Kind {
	case Conv, Local, MaxPool:
		var b strings.Builder
		fmt.Fprintf(&b, "%dx%d", l.Kernel, l.Kernel)
		if l.Stride != 1 {
			fmt.Fprintf(&b, "/%d", l.Stride)
		}
		switch {
		case l.PadEnd != 0:
			fmt.Fprintf(&b, " pad %d+%d", l.Pad, l.PadEnd)
		case l.Pad != 0:
			fmt.Fprintf(&b, " pad %d", l.Pad)
		}
		if l.Ceil {
			b.WriteString(" ceil")
		}
		return b.String()
	case LRN:
		return fmt.Sprintf("n %d alpha %.4g beta %g k %g", l.Size, l.Alpha, l.Beta, l.K)
	case LRNWithinChannel:
		return fmt.Sprintf("%dx%d alpha %.4g beta %g k %g", l.Size, l.Size, l.Alpha, l.Beta, l.K)
	case Dropout:
		return fmt.Sprintf("%g", l.Rate)
	}
	return ""
}
