package cpu

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"alexnet/model"
)

var goldenExport = flag.String("golden-export", "", "write the initial weights of the golden alexnet to this file")

// alexNetSeed is that of make.py's weights, images and masks.
const alexNetSeed = 17

// TestGoldenExport is not a test: make.py runs it to get the weights that Net.Init
// draws.
func TestGoldenExport(t *testing.T) {
	if *goldenExport == "" {
		t.Skip("only make.py needs it")
	}
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(*goldenExport)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(model.WriteTensors(f, nil, net.Init(alexNetSeed)), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenAlexNet compares logits, loss and gradients of the paper's net, with
// its dropout, with PyTorch's.
func TestGoldenAlexNet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds and more than a gigabyte")
	}
	g := readGolden(t, filepath.Join("testdata", "golden", "alexnet.json"))
	if n := g.Net.ParamCount(); n != 60965224 || g.Init != "net" || g.Seed != alexNetSeed {
		t.Fatalf("a golden of %d parameters, drawn by %s with seed %d", n, g.Init, g.Seed)
	}
	for path, o := range goldenPaths() {
		t.Run(path, func(t *testing.T) {
			e := g.engine(t, o)
			if d := g.logitError(t, e); !(d <= logitTolerance) {
				t.Errorf("logits are off by %.2g of the largest", d)
			} else {
				t.Logf("logits off by at most %.2g", d)
			}
			g.checkGradients(t, e)
		})
	}
}
