package decode

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
)

// oddFiles says of each file of a collection of odd and hostile ones what
// libjpeg-turbo and the standard library make of it: width x height x channels,
// or why there is no picture. The limit is 50 megapixels.
const oddFiles = `
gen-1600x40.jpg                             1600x40x3    1600x40x3
gen-1byte.JPEG                              not-an-image not-an-image
gen-1x1.jpg                                 1x1x3        1x1x3
gen-1x3000.jpg                              1x3000x3     1x3000x3
gen-256x256.jpg                             256x256x3    256x256x3
gen-257x255.jpg                             257x255x3    257x255x3
gen-2x255.jpg                               2x255x3      2x255x3
gen-3000x1.jpg                              3000x1x3     3000x1x3
gen-410.jpg                                 299x299x3    299x299x3
gen-411.jpg                                 299x299x3    299x299x3
gen-440.jpg                                 299x299x3    299x299x3
gen-adobe-transform0-on-ycc.jpg             299x299x3    299x299x3
gen-app0-length-1.jpg                       299x299x3    malformed
gen-arithmetic.jpg                          299x299x3    unsupported
gen-bitflips.jpg                            299x299x3    299x299x3
gen-bmp-named.JPEG                          unsupported  unsupported
gen-bomb-header-65500x65500.jpg             too-large    too-large
gen-bomb-header-progressive-65500x65500.jpg too-large    too-large
gen-bomb-valid-gray-12000x12000.jpg         too-large    too-large
gen-bomb-valid-rgb-10000x6000.jpg           too-large    too-large
gen-cmyk-pil.jpg                            299x299x3    299x299x3
gen-cmyk.jpg                                299x299x3    299x299x3
gen-comment-64k-x8.jpg                      299x299x3    299x299x3
gen-empty.JPEG                              empty        empty
gen-exif-garbage.jpg                        299x299x3    299x299x3
gen-exif-loop-ifd.jpg                       299x299x3    299x299x3
gen-exif-orientation-0.jpg                  299x200x3    299x200x3
gen-exif-orientation-1.jpg                  299x200x3    299x200x3
gen-exif-orientation-3.jpg                  299x200x3    299x200x3
gen-exif-orientation-6.jpg                  299x200x3    299x200x3
gen-exif-orientation-8.jpg                  299x200x3    299x200x3
gen-exif-orientation-9.jpg                  299x200x3    299x200x3
gen-gif-named.JPEG                          unsupported  unsupported
gen-gray.jpg                                299x299x1    299x299x1
gen-height-too-big.jpg                      malformed    malformed
gen-html-named.JPEG                         not-an-image not-an-image
gen-icc-garbage.jpg                         299x299x3    299x299x3
gen-leading-newline.jpg                     not-an-image not-an-image
gen-mixed-sampling.jpg                      299x299x3    unsupported
gen-no-eoi.jpg                              truncated    truncated
gen-png-named.JPEG                          299x299x3    299x299x3
gen-png16-named.JPEG                        64x64x1      64x64x1
gen-progressive-420.jpg                     299x299x3    299x299x3
gen-progressive-rst1row.jpg                 299x299x3    malformed
gen-progressive-trunc-half.jpg              truncated    truncated
gen-q1.jpg                                  299x299x3    299x299x3
gen-q100-444.jpg                            299x299x3    299x299x3
gen-restart-4mcu.jpg                        299x299x3    299x299x3
gen-rgb-adobe0.jpg                          299x299x3    299x299x3
gen-soi-eoi.JPEG                            malformed    malformed
gen-soi-only.JPEG                           truncated    truncated
gen-tiff-named.JPEG                         unsupported  unsupported
gen-trailing-garbage.jpg                    299x299x3    299x299x3
gen-trunc-90pct.jpg                         truncated    truncated
gen-trunc-half.jpg                          truncated    truncated
gen-trunc-headers-only.jpg                  truncated    truncated
gen-two-jpegs-concatenated.jpg              299x299x3    299x299x3
gen-webp-named.JPEG                         unsupported  unsupported
gen-width-smaller.jpg                       150x299x3    150x299x3
gen-zero-height.jpg                         malformed    malformed
gen-zero-run-in-scan.jpg                    malformed    malformed
gen-zero-width.jpg                          malformed    malformed
gen-zeros-20000.JPEG                        not-an-image not-an-image
go-video-001.221212.jpeg                    150x103x3    150x103x3
go-video-001.cmyk.jpeg                      150x103x3    150x103x3
go-video-001.progressive.truncated.jpeg     150x103x3    150x103x3
go-video-001.q50.410.jpeg                   150x103x3    150x103x3
go-video-001.q50.411.progressive.jpeg       150x103x3    150x103x3
go-video-001.q50.422.jpeg                   150x103x3    150x103x3
go-video-001.q50.440.jpeg                   150x103x3    150x103x3
go-video-001.restart2.jpeg                  150x103x3    150x103x3
go-video-001.rgb.jpeg                       150x103x3    150x103x3
go-video-001.separate.dc.progression.jpeg   150x103x3    150x103x3
go-video-005.gray.q50.2x2.jpeg              150x103x1    150x103x1
ljt-monkey12.jpg                            unsupported  unsupported
ljt-testimgari.jpg                          227x149x3    unsupported
ljt-testimgint.jpg                          227x149x3    227x149x3
ljt-testorig.jpg                            227x149x3    227x149x3
pil-broken_exif_dpi.jpg                     100x100x3    100x100x3
pil-exif-dpi-zerodivision.jpg               200x200x3    200x200x3
pil-exif_typeerror.jpg                      800x531x3    800x531x3
pil-hopper_16bit_qtables.jpg                128x128x3    128x128x3
pil-hopper_bad_exif.jpg                     500x500x1    malformed
pil-hopper_gray.jpg                         128x128x1    128x128x1
pil-icc-after-SOF.jpg                       10x10x1      10x10x1
pil-invalid-exif.jpg                        200x200x3    200x200x3
pil-jpeg_ff00_header.jpg                    300x225x3    300x225x3
pil-junk_jpeg_header.jpg                    1024x768x3   1024x768x3
pil-multiple_exif.jpg                       1x1x1        1x1x1
pil-orientation_2.jpg                       128x128x3    128x128x3
pil-orientation_3.jpg                       128x128x3    128x128x3
pil-orientation_4.jpg                       128x128x3    128x128x3
pil-orientation_5.jpg                       128x128x3    128x128x3
pil-orientation_6.jpg                       128x128x3    128x128x3
pil-orientation_7.jpg                       128x128x3    128x128x3
pil-orientation_8.jpg                       128x128x3    128x128x3
pil-orientation_rectangle.jpg               2x1x3        2x1x3
pil-photoshop-200dpi-broken.jpg             200x200x3    200x200x3
pil-pil_sample_cmyk.jpg                     100x100x3    100x100x3
pil-truncated_app14.jpg                     100x100x3    100x100x3
pil-truncated_jpeg.jpg                      truncated    truncated
vips-sample-xyb.jpg                         290x442x3    290x442x3
vips-truncated.jpg                          truncated    truncated
`

// differences are where we want it otherwise than a program whose result the
// collection's manifest has.
func differences() map[string]map[string]string {
	return map[string]map[string]string{
		"djpeg": {
			"gen-bomb-valid-gray-12000x12000.jpg": "over the limit", "gen-bomb-valid-rgb-10000x6000.jpg": "over the limit",
		},
		"pillow": {
			"gen-bmp-named.JPEG": "not read", "gen-gif-named.JPEG": "not read", "gen-tiff-named.JPEG": "not read", "gen-webp-named.JPEG": "not read",
			"gen-bomb-valid-rgb-10000x6000.jpg": "over the limit",
			"gen-height-too-big.jpg":            "half of the picture is missing",
			"gen-zero-run-in-scan.jpg":          "half of the picture is missing",
		},
		"go": {
			"gen-gif-named.JPEG": "not read", "gen-zero-height.jpg": "no pixels", "gen-zero-width.jpg": "no pixels",
		},
	}
}

func TestOddFiles(t *testing.T) {
	dir := realdata.Path(t, "odd-jpegs")
	table, err := os.ReadFile(filepath.Join(dir, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		column := strings.Split(line, "\t")
		manifest[column[0]] = column
	}
	rows := strings.Split(strings.TrimSpace(oddFiles), "\n")
	if len(rows) != len(manifest) {
		t.Errorf("%d files in the table, %d in the manifest", len(rows), len(manifest))
	}
	eachLibrary(t, func(t *testing.T, l *Library) {
		d := Decoder{Library: l, Limits: Limits{MaxPixels: 50_000_000}}
		for _, row := range rows {
			field := strings.Fields(row)
			name, want := field[0], field[2]
			if l.turbo != nil {
				want = field[1]
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
				continue
			}
			m, err := d.Decode(data)
			got := outcome(m, err)
			if got != want {
				t.Errorf("%s: %s, want %s (error: %v)", name, got, want, err)
			}
			compare(t, name, got, manifest[name], l)
			if err == nil && l.turbo == nil {
				std, _, err := image.Decode(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				same(t, m, slow(std))
			}
		}
	})
}

// TestOddPixels has both libraries decode what both can. They differ where
// chroma is subsampled, but not so much as for a colour space taken wrongly.
func TestOddPixels(t *testing.T) {
	dir := realdata.Path(t, "odd-jpegs")
	limits := Limits{MaxPixels: 10_000_000}
	turbo, standard := Decoder{Library: turboOrSkip(t), Limits: limits}, Decoder{Library: Standard(), Limits: limits}
	compared := 0
	for _, row := range strings.Split(strings.TrimSpace(oddFiles), "\n") {
		name := strings.Fields(row)[0]
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		a, errA := turbo.Decode(data)
		b, errB := standard.Decode(data)
		if errA != nil || errB != nil {
			continue
		}
		sum := 0
		for y := range a.H {
			for x := range a.W {
				p, q := pixel(a, x, y), pixel(b, x, y)
				for c := range p {
					sum += max(int(p[c])-int(q[c]), int(q[c])-int(p[c]))
				}
			}
		}
		if mean := float64(sum) / float64(a.W*a.H*a.C); mean > 8 {
			t.Errorf("%s: the libraries differ by %.2f levels on average", name, mean)
		}
		compared++
	}
	if compared < 60 {
		t.Errorf("only %d files compared", compared)
	}
}

// outcome describes a result as the table does.
func outcome(m *Image, err error) string {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Reason
	case err != nil:
		return fmt.Sprintf("error of type %T", err)
	}
	return fmt.Sprintf("%dx%dx%d", m.W, m.H, m.C)
}

// compare checks a result against what other programs did, where they are the
// measure.
func compare(t *testing.T, name, got string, column []string, l *Library) {
	t.Helper()
	if column == nil {
		t.Errorf("%s: not in the manifest", name)
		return
	}
	check := func(program, said, succeeded string) {
		if _, ok := differences()[program][name]; ok {
			return
		}
		want := ""
		if m := regexp.MustCompile(succeeded).FindStringSubmatch(said); m != nil {
			want = m[1]
		}
		size, _ := strings.CutSuffix(strings.TrimSuffix(got, "x1"), "x3")
		if decoded := size != got; want != "" && size != want || want == "" && decoded {
			t.Errorf("%s: %s, %s says %q", name, got, program, said)
		}
	}
	if l.turbo == nil {
		check("go", column[8], `^ok (?:jpeg|png|gif) ([0-9]+x[0-9]+) `)
		return
	}
	check("pillow", column[7], `^ok \w+ \w+ ([0-9]+x[0-9]+)`)
	if strings.HasPrefix(column[4], "SOF") {
		check("djpeg", column[5], `^rc=(?:0|2) P[56] ([0-9]+x[0-9]+) (?:$|.* extraneous bytes before marker)`)
	}
}

// TestOddOrientations has all the pictures of one scene, stored in eight ways,
// come out the same way up.
func TestOddOrientations(t *testing.T) {
	dir := realdata.Path(t, "odd-jpegs")
	eachLibrary(t, func(t *testing.T, l *Library) {
		d := Decoder{Library: l, ExifRotate: true}
		var first *Image
		for o := 2; o <= 8; o++ {
			data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("pil-orientation_%d.jpg", o)))
			if err != nil {
				t.Fatal(err)
			}
			m, err := d.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = &Image{W: m.W, H: m.H, C: m.C, Pix: bytes.Clone(m.Pix)}
				continue
			}
			sum := 0
			for i := range m.Pix {
				d := int(m.Pix[i]) - int(first.Pix[i])
				sum += d * d
			}
			if mean := float64(sum) / float64(len(m.Pix)); mean > 100 { // JPEG's loss makes it 31
				t.Errorf("orientation %d: mean square difference %.0f", o, mean)
			}
		}
	})
}

// BenchmarkPhotos decodes real photographs, where they are.
func BenchmarkPhotos(b *testing.B) {
	var photos [][]byte
	total := 0
	err := filepath.WalkDir(realdata.Path(b, "ilsvrc-mini"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".JPEG") {
			return err
		}
		data, err := os.ReadFile(path)
		photos, total = append(photos, data), total+len(data)
		return err
	})
	if err != nil || len(photos) == 0 {
		b.Fatalf("%d photos, %v", len(photos), err)
	}
	libraries := []*Library{Find()}
	if Find().turbo != nil {
		libraries = append(libraries, Standard())
	}
	for _, l := range libraries {
		b.Run(strings.Fields(l.Name())[0], func(b *testing.B) {
			d := Decoder{Library: l}
			b.SetBytes(int64(total))
			b.ReportAllocs()
			for b.Loop() {
				for _, data := range photos {
					if _, err := d.Decode(data); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N*len(photos))/b.Elapsed().Seconds(), "images/s")
		})
	}
}
