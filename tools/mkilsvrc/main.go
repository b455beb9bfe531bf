// Command mkilsvrc makes a source for ingest: drawn pictures in the shape of
// ILSVRC 2012, as folders or as the archives that were distributed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"alexnet/tools/cli"
	"alexnet/tools/drawn"
)

const description = `Makes an ILSVRC-shaped source of drawn pictures: discs, triangles, stripes, checks, stars, rings, waves, dots and more.

Examples:
  mkilsvrc --out pictures --classes 8 --per-class 60
  mkilsvrc --out archives --layout tars --devkit
  ingest --src pictures --out out`

// flags are the command's.
type flags struct {
	Out          string `required:"" placeholder:"DIR" help:"Folder to write, empty or not there yet."`
	Classes      int    `default:"8" help:"Number of classes, 1 to 20."`
	PerClass     int    `default:"60" aliases:"train-per-class" help:"Training pictures of each class."`
	ValPerClass  int    `default:"15" help:"Validation pictures of each class."`
	TestPerClass int    `default:"0" help:"Test pictures of each class, flat and without labels (${default})."`
	Seed         uint64 `default:"1" help:"Chooses the pictures."`
	Layout       string `default:"folder" enum:"folder,tars" help:"Write train/ and val/ (${default}), or ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (tars); test/ or its tar too."`
	Devkit       bool   `help:"Real WNIDs, a flat validation split, and the devkit that labels it."`
}

// Run makes the set.
func (f *flags) Run(ctx context.Context, out io.Writer) error {
	o := drawn.Options{Classes: f.Classes, TrainPerClass: f.PerClass, ValPerClass: f.ValPerClass, TestPerClass: f.TestPerClass, Seed: f.Seed, Devkit: f.Devkit}
	write := drawn.WriteFolder
	if f.Layout == "tars" {
		write = drawn.WriteTars
	}
	err := write(ctx, f.Out, o)
	if wrong, ok := errors.AsType[*drawn.OptionsError](err); ok {
		name := map[string]string{"Classes": "--classes", "TrainPerClass": "--per-class", "ValPerClass": "--val-per-class", "TestPerClass": "--test-per-class"}[wrong.Option]
		return cli.Usagef("%s is %d, want %s", name, wrong.Value, wrong.Want)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d classes, %d training, %d validation and %d test pictures\n", f.Out, f.Classes, f.Classes*f.PerClass, f.Classes*f.ValPerClass, f.Classes*f.TestPerClass)
	fmt.Fprintf(out, "next: ingest --src %s --out out\n", f.Out)
	return nil
}

func main() { cli.Main("mkilsvrc", description, &flags{}) }
