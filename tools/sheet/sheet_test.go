package sheet

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"alexnet/augment"
	"alexnet/records"
	"alexnet/train/traintest"
)

// open makes a small data set of the given pixels and opens its training split.
func open(t *testing.T) (*records.Dataset, *records.Split) {
	t.Helper()
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 3, Size: 8, Train: 9, Val: 1}).Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { split.Close() })
	return ds, split
}

// pixel returns the original value of a stored pixel.
func pixel(ds *records.Dataset, row records.Row, c, y, x int) uint8 {
	at := (c*8+y)*8 + x
	if row.U8 != nil {
		return row.U8[at]
	}
	return uint8(int(row.I16[at]) + int(ds.Mean.Baseline[at]))
}

// Every pixel of every tile is the pixel of the record that its crop, flip and
// shift say.
func TestTilesShowTheRecord(t *testing.T) {
	ds, split := open(t)
	o := Options{Pictures: 3, Crops: 4, Crop: 5, Seed: 7, Epoch: 2}
	img, err := Draw(ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := choose(split, o)
	if err != nil {
		t.Fatal(err)
	}
	scale := leastBox / o.Crop
	box := 8 * scale
	g := augment.Geometry{Height: 8, Width: 8, Crop: o.Crop}
	flips := 0
	for i, r := range rows {
		row, err := split.Row(int(r), nil)
		if err != nil {
			t.Fatal(err)
		}
		top := 2*margin + 3*caption + i*(box+2*caption+margin)
		for k := range o.Crops {
			p := augment.Draw(o.Seed, o.Epoch+k, int64(r), g, nil)
			left := margin + (k+1)*(box+margin)
			for y := range o.Crop {
				for x := range o.Crop {
					from := p.Left + x
					if p.Flip {
						from = p.Left + o.Crop - 1 - x
						flips++
					}
					want := color.RGBA{pixel(ds, row, 0, p.Top+y, from), pixel(ds, row, 1, p.Top+y, from), pixel(ds, row, 2, p.Top+y, from), 255}
					if got := img.RGBAAt(left+x*scale+scale/2, top+y*scale+scale/2); got != want {
						t.Fatalf("picture %d, crop %d, pixel %d,%d is %v, want %v", i, k, x, y, got, want)
					}
				}
			}
		}
	}
	if flips == 0 {
		t.Error("no crop was mirrored: choose another seed for this test")
	}
}

func TestChooseShowsEachClassFirst(t *testing.T) {
	_, split := open(t)
	rows, err := choose(split, Options{Pictures: 3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for _, r := range rows {
		label, err := split.Label(int(r))
		if err != nil {
			t.Fatal(err)
		}
		seen[label] = true
	}
	if len(rows) != 3 || len(seen) != 3 {
		t.Errorf("%d rows of %d classes instead of 3 of 3", len(rows), len(seen))
	}
	if rows, err = choose(split, Options{Pictures: 20, Seed: 1}); err != nil || len(rows) != 9 {
		t.Errorf("%d rows (%v) of a split of 9 when 20 are asked for", len(rows), err)
	}
}

// Without mirror images the same crops are cut, and none is mirrored.
func TestNoFlip(t *testing.T) {
	ds, split := open(t)
	o := Options{Pictures: 3, Crops: 4, Crop: 8, Seed: 7}
	with, err := Draw(ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	o.NoFlip = true
	img, err := Draw(ds, split, o)
	if err != nil {
		t.Fatal(err)
	}
	// All crops are whole records, so that each tile of a line is the first, which is stored.
	const box = 8 * (leastBox / 8)
	top := 2*margin + 3*caption
	differ := func(sheet *image.RGBA) (n int) {
		for k := range o.Crops {
			for y := range box {
				for x := range box {
					if sheet.RGBAAt(margin+(k+1)*(box+margin)+x, top+y) != sheet.RGBAAt(margin+x, top+y) {
						n++
					}
				}
			}
		}
		return n
	}
	if n := differ(img); n != 0 {
		t.Errorf("%d pixels are not the record's", n)
	}
	if differ(with) == 0 {
		t.Error("no crop was mirrored: choose another seed for this test")
	}
}

// A sheet of one small crop is as wide as what is written on it.
func TestNothingIsCut(t *testing.T) {
	ds, split := open(t)
	img, err := Draw(ds, split, Options{Pictures: 1, Crops: 1, Crop: 8})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*margin + widest([]string{"split train, 9 rows of 3x8x8 int16; crops of 8, seed 0, from epoch 0; mean added back"}); img.Rect.Dx() != want {
		t.Errorf("%d pixels wide, want %d", img.Rect.Dx(), want)
	}
}

func TestBadOptions(t *testing.T) {
	ds, split := open(t)
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Pictures: 0, Crops: 1, Crop: 4}, "at least one picture and one crop, not 0 and 1"},
		{Options{Pictures: 1, Crops: 1, Crop: 4, Epoch: -1}, "there is no epoch -1"},
		{Options{Pictures: 1 << 40, Crops: 1 << 40, Crop: 4}, "more than the 268435456 pixels that a sheet may have"},
		{Options{Pictures: 1, Crops: 1, Crop: 9}, "crop of 9 pixels from records of 8x8: choose 1 to 8"},
		{Options{Pictures: 10, Crops: 1e5, Crop: 1}, "9 pictures with 100000 crops each, enlarged 160 times, are more than the 268435456 pixels"},
	} {
		if _, err := Draw(ds, split, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.o, err, test.want)
		}
	}
}
