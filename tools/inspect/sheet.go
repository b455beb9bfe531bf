package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"

	"alexnet/augment"
	"alexnet/records/atomicfile"
	"alexnet/tools/sheet"
)

// sheetCommand draws a contact sheet.
type sheetCommand struct {
	Dir      string `arg:"" help:"Folder that ingest wrote, or its URL (s3://bucket/out)."`
	PNG      string `name:"png" default:"sheet.png" help:"File to write."`
	Split    string `default:"train" help:"Split to draw from."`
	Pictures int    `default:"8" help:"Pictures, one a line."`
	Crops    int    `default:"6" help:"Augmented crops of each picture."`
	Crop     int    `default:"0" help:"Side of a crop; 0 for 7/8 of the record's, as the paper's 224 of 256."`
	Color    string `enum:"none,stddev,eigenvalue" default:"eigenvalue" help:"Colour augmentation: none, stddev, eigenvalue (${default})."`
	NoFlip   bool   `help:"No mirror images, as train --no-flip and the preset lenet have none."`
	Seed     uint64 `default:"1" help:"The training's seed."`
	Epoch    int    `default:"0" help:"Epoch of the first crop, from 0; each crop beside it is of the next."`
}

// Help returns what --help shows besides the flags.
func (*sheetCommand) Help() string {
	return "Example:\n  inspect sheet out/ --crop 224 --png sheet.png"
}

// Run writes the PNG.
func (c *sheetCommand) Run(ctx context.Context, out io.Writer) (err error) {
	ds, split, done, err := openSplit(ctx, c.Dir, c.Split)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	o := sheet.Options{Pictures: c.Pictures, Crops: c.Crops, Crop: c.Crop, Seed: c.Seed, Epoch: c.Epoch, NoFlip: c.NoFlip}
	if o.Crop == 0 {
		o.Crop = min(ds.Manifest.Shape.H, ds.Manifest.Shape.W) * 7 / 8
	}
	if p := ds.Manifest.PCA; p != nil && c.Color != "none" {
		scale := augment.ScaleStdDev
		if c.Color == "eigenvalue" {
			scale = augment.ScaleEigenvalue
		}
		color := augment.EigenColor(p.Eigenvectors, p.Eigenvalues, scale)
		o.Color = &color
	}
	img, err := sheet.Draw(ds, split, o)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.PNG, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %dx%d pixels, %d pictures with %d crops each\n", c.PNG, img.Rect.Dx(), img.Rect.Dy(), min(c.Pictures, split.Len()), c.Crops)
	return nil
}
