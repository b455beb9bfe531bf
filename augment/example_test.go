package augment_test

import (
	"fmt"

	"alexnet/augment"
)

// A picture goes into a batch: decide, then apply.
func Example() {
	g := augment.Geometry{Height: 4, Width: 4, Crop: 2}
	picture := []uint8{
		10, 11, 12, 13,
		20, 21, 22, 23,
		30, 31, 32, 33,
		40, 41, 42, 43,
	}
	mean := make([]float32, len(picture))
	for i := range mean {
		mean[i] = 25.5
	}

	crop := make([]float32, 2*2)
	augment.Apply(crop, picture, mean, 1, g, augment.Center(g))
	fmt.Println("centre:  ", crop)
	augment.Apply(crop, picture, mean, 1, g, augment.View(g, 9))
	fmt.Println("mirrored:", crop)

	// In training the same three numbers always give the same crop and flip.
	p := augment.Draw(1, 0, 0, g, nil)
	fmt.Println("same:    ", p == augment.Draw(1, 0, 0, g, nil))
	// Output:
	// centre:   [-4.5 -3.5 5.5 6.5]
	// mirrored: [-3.5 -4.5 6.5 5.5]
	// same:     true
}
