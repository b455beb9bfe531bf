package main

import (
	"bytes"
	_ "embed" // page.html
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"alexnet/model"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/tools/cli"
	"alexnet/tools/figure"
	"alexnet/tools/stores"
	"alexnet/train/checkpoint"
)

// reportFlags say what the report has.
type reportFlags struct {
	Report   string `placeholder:"DIR" help:"Write a report to DIR/index.html: one page with all figures in it."`
	PNG      string `name:"png" placeholder:"FILE" help:"Draw the report's pictures with their five most probable labels to this PNG, as in the paper's Figure 4, left."`
	Pictures int    `default:"8" placeholder:"N" help:"Pictures with their five most probable labels in the report and the PNG (${default})."`

	Neighbours int    `default:"0" placeholder:"N" help:"So many of these pictures with their six nearest of --from, by the features of the first net; those of the whole split are computed, and kept in a folder of DIR/features."`
	From       string `default:"train" placeholder:"SPLIT" help:"The split in which neighbours are looked for (${default})."`
	Layer      string `placeholder:"NAME" help:"The layer that gives the features (default: the last before the classifier)."`
}

// check looks at the flags alone.
func (f *reportFlags) check() error {
	switch {
	case f.Pictures < 0 || f.Neighbours < 0:
		return cli.Usagef("--pictures and --neighbours must not be negative")
	case f.Neighbours > 0 && f.Report == "":
		return cli.Usagef("--neighbours is for a report: name its folder with --report, or use `inspect neighbours`")
	}
	return errors.Join(stores.Local("--report", f.Report), stores.Local("--png", f.PNG))
}

// prepare makes the folder, and finds what would make the report or the PNG impossible
// before anything is computed.
func (f *reportFlags) prepare(ds *records.Dataset, net *model.Net) error {
	if f.Report != "" {
		err := os.MkdirAll(f.Report, 0o777)
		if err == nil {
			err = atomicfile.Possible(filepath.Join(f.Report, pageName))
		}
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if f.PNG != "" {
		if err := atomicfile.Possible(f.PNG); err != nil {
			return fmt.Errorf("--png: %w", err)
		}
	}
	if f.Neighbours == 0 {
		return nil
	}
	from, err := ds.OpenSplit(f.From)
	if err != nil {
		return err
	}
	if err := from.Close(); err != nil {
		return err
	}
	if f.Layer == "" {
		f.Layer = net.LastHidden()
	}
	if f.Layer == "" {
		return fmt.Errorf("net %s has no hidden layer whose features could be compared: leave out --neighbours", net.Name)
	}
	_, _, err = net.FeatureLayer(f.Layer)
	return err
}

// pageName is the report's file in its folder.
const pageName = "index.html"

//go:embed page.html
var embeddedPage string

// page is what the template shows.
type page struct {
	Title    string
	Records  string
	Answer   answer
	Sections []section
	Guesses  []guess
	Runs     []runCurves
	Kernels  []kernels
	Nets     []*model.Net
	neighbourhood
}

// neighbourhood is Figure 4, right.
type neighbourhood struct {
	From, Layer, FeatureNet string
	Nearest                 int
	Queries                 [][]pictured // a query and its neighbours
}

// section is an entry of the list of contents.
type section struct{ ID, Name string }

// pictured is a picture with its caption.
type pictured struct {
	Key      string
	Image    template.URL
	Small    bool
	Label    string // what it is called
	Distance string
}

// guess is a picture with bars.
type guess struct {
	pictured
	Bars []bar
}

// bar is a label and how probable it is.
type bar struct {
	Name    string
	Percent float64
	Right   bool
}

// kernels is Figure 3 of a net.
type kernels struct {
	figure.KernelGrid
	Image         template.URL
	Width, Height int
	Net           string
	Checkpoint    string
}

// newPage puts the page together.
func newPage(ds *records.Dataset, a answer, checkpoints []*checkpoint.Checkpoint, shown *gallery) (*page, error) {
	p := &page{Title: title(a), Records: ds.Dir, Answer: a}
	for _, c := range checkpoints {
		if !slices.ContainsFunc(p.Nets, func(n *model.Net) bool { return reflect.DeepEqual(n, c.Net) }) {
			p.Nets = append(p.Nets, c.Net)
		}
		p.addRun(c)
		img, grid, err := figure.Kernels(c.Net, c.State.Weights, figure.KernelOptions{})
		if err != nil {
			continue // a net whose first layer has no kernels to show
		}
		url, err := dataURL(img)
		if err != nil {
			return nil, err
		}
		p.Kernels = append(p.Kernels, kernels{grid, url, img.Rect.Dx(), img.Rect.Dy(), c.Net.Name, c.File})
	}
	var err error
	p.Guesses, err = shown.guesses(ds)
	return p, err
}

// title says what was measured.
func title(a answer) string {
	if len(a.Singles) == 1 {
		return a.Singles[0].Net + " on " + a.Split
	}
	return fmt.Sprintf("%d nets, averaged, on %s", len(a.Singles), a.Split)
}

// contents lists the sections that the page has.
func (p *page) contents() {
	for _, s := range []struct {
		section
		there bool
	}{
		{section{"guesses", "Five most probable labels"}, len(p.Guesses) > 0},
		{section{"neighbours", "Nearest pictures"}, len(p.Queries) > 0},
		{section{"classes", "Classes"}, len(p.Answer.Classes) > 0},
		{section{"confused", "Most confused"}, len(p.Answer.Classes) > 0},
		{section{"curves", "Learning curves"}, len(p.Runs) > 0},
		{section{"kernels", "Kernels"}, len(p.Kernels) > 0},
		{section{"architecture", "Architecture"}, true},
	} {
		if s.there {
			p.Sections = append(p.Sections, s.section)
		}
	}
}

// write puts the page into a folder and returns the file.
func (p *page) write(dir string) (string, error) {
	p.contents()
	t, err := template.New("page").Funcs(template.FuncMap{
		"percent":  func(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) },
		"interval": func(in [2]float64) string { return fmt.Sprintf("(%.2f–%.2f)", 100*in[0], 100*in[1]) },
		"count":    func(n any) string { return cli.FormatCount(reflect.ValueOf(n).Int()) }, // of int and int64
		"shape":    shapeText,
	}).Parse(embeddedPage)
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	path := filepath.Join(dir, pageName)
	if err := atomicfile.Write(path, func(w io.Writer) error { return t.Execute(w, p) }); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return path, nil
}

// shapeText writes a shape as the paper does.
func shapeText(s model.Shape) string {
	if s.H == 1 && s.W == 1 {
		return strconv.Itoa(s.C)
	}
	return fmt.Sprintf("%d×%d×%d", s.C, s.H, s.W)
}

// smallSide is the side up to which pictures are shown with their pixels, and kept
// without loss.
const smallSide = 96

// dataURL packs a picture into an address. Photographs would be several times as large
// without loss.
func dataURL(img image.Image) (template.URL, error) {
	var b bytes.Buffer
	var err error
	kind := "jpeg"
	if n, drawn := img.(*image.NRGBA); max(img.Bounds().Dx(), img.Bounds().Dy()) <= smallSide || drawn && !n.Opaque() {
		kind, err = "png", png.Encode(&b, img)
	} else {
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 88})
	}
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil //nolint:gosec // no text of others
}
