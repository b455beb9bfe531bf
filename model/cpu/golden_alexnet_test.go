package cpu

import (
	"testing"

	"alexnet/model/golden"
)

// TestGoldenAlexNet compares logits, loss and gradients of the paper's net, with
// its dropout, with PyTorch's.
func TestGoldenAlexNet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds and more than a gigabyte")
	}
	c := loadGolden(t, golden.AlexNet)
	for path, o := range goldenPaths() {
		t.Run(path, func(t *testing.T) {
			e := goldenEngine(t, c, o)
			checkLogits(t, c, e)
			checkGradients(t, c, e)
		})
	}
}
