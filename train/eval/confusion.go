package eval

import (
	"cmp"
	"slices"
)

// Confusion counts, for each class, how often each class was the most probable one:
// a matrix of classes x classes, of which only the cells that are not zero are kept,
// at most as many as there are images.
type Confusion map[Pair]int

// Pair is a cell of the matrix: images of class Label were taken for class Predicted.
type Pair struct{ Label, Predicted int }

// Cell is a cell that is not zero.
type Cell struct {
	Pair
	Images int
}

// Cells returns the cells that are not zero, by label and then by what was predicted.
func (c Confusion) Cells() []Cell {
	cells := make([]Cell, 0, len(c))
	for pair, n := range c {
		cells = append(cells, Cell{pair, n})
	}
	slices.SortFunc(cells, func(a, b Cell) int { return comparePairs(a.Pair, b.Pair) })
	return cells
}

// Confused returns the n pairs of different classes with the most images, the largest
// first; of equals the one with the lower label, then the lower prediction. "A taken
// for B" and "B taken for A" are two pairs.
func (c Confusion) Confused(n int) []Cell {
	cells := slices.DeleteFunc(c.Cells(), func(cell Cell) bool { return cell.Label == cell.Predicted })
	slices.SortFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(b.Images, a.Images), comparePairs(a.Pair, b.Pair))
	})
	return cells[:max(0, min(n, len(cells)))]
}

func comparePairs(a, b Pair) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Predicted, b.Predicted))
}
