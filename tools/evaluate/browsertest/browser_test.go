// Package browsertest opens the report of evaluate in a real browser. Run it with
//
//	cd tools/evaluate/browsertest && go test
//
// where there is a Go toolchain; without chromium (apt-get install chromium) it is
// skipped.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browsers are the names of what is looked for.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "chrome"}

// browser finds one, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no browser is here (%s): apt-get install chromium", strings.Join(browsers, ", "))
	return ""
}

// report makes a report of drawn pictures with the real commands.
func report(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := func(where, name string, args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = where
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run(filepath.Join("..", "..", ".."), "go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator),
		"./ingest", "./train", "./tools/mkilsvrc", "./tools/evaluate")
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	own := func(name string, args ...string) { t.Helper(); run(dir, filepath.Join(dir, name+suffix), args...) }
	own("mkilsvrc", "--out", "pictures", "--classes", "6", "--per-class", "12", "--val-per-class", "4")
	own("ingest", "--src", "pictures", "--out", "records", "--size", "72")
	own("train", "--records", "records", "--net", "alexnet-small", "--run", "run", "--epochs", "2")
	own("evaluate", "--records", "records", "--checkpoint", "run", "--report", "report", "--pictures", "4", "--neighbours", "2")
	return filepath.Join(dir, "report", "index.html")
}

// page is an open page and what went wrong on it.
type page struct {
	context.Context

	mu       sync.Mutex
	errors   []string
	requests []string
}

// open opens the page in a window of the given width.
func open(t *testing.T, file string, width int64) *page {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(browser(t)), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	p := &page{Context: ctx}
	chromedp.ListenTarget(ctx, p.listen)
	p.do(t, log.Enable(), network.Enable(), chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+filepath.ToSlash(file)))
	return p
}

// listen keeps what the console says, exceptions, and requests but that of the page.
func (p *page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *cdp.EventConsoleAPICalled:
		p.errors = append(p.errors, fmt.Sprintf("console.%s", e.Type))
	case *cdp.EventExceptionThrown:
		p.errors = append(p.errors, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		p.errors = append(p.errors, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			p.requests = append(p.requests, e.Request.URL)
		}
	}
}

func (p *page) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(p, actions...); err != nil {
		t.Fatal(err)
	}
}

// evaluate returns what a JavaScript expression is.
func evaluate[T any](t *testing.T, p *page, expression string) (v T) {
	t.Helper()
	p.do(t, chromedp.Evaluate(expression, &v))
	return v
}

// column returns a column of the table of classes, as a number where it is one, from
// above.
func column(t *testing.T, p *page, index int) []string {
	t.Helper()
	return evaluate[[]string](t, p, fmt.Sprintf(
		`[...document.querySelectorAll("#per-class tbody tr")].map(r => r.cells[%d].dataset.v ?? r.cells[%d].textContent)`, index, index))
}

// sorted reports whether values are in order, as numbers or as text, upwards or
// downwards.
func sorted(values []string, numbers, down bool) bool {
	return slices.IsSortedFunc(values, func(a, b string) int {
		order := strings.Compare(a, b)
		if numbers {
			x, _ := strconv.ParseFloat(a, 64)
			y, _ := strconv.ParseFloat(b, 64)
			order = 0
			if x < y {
				order = -1
			} else if x > y {
				order = 1
			}
		}
		if down {
			return -order
		}
		return order
	})
}

func TestReport(t *testing.T) {
	browser(t)
	file := report(t)
	p := open(t, file, 1280)

	if title := evaluate[string](t, p, `document.title`); title != "alexnet-small on val" {
		t.Errorf("the title is %q", title)
	}
	for _, id := range []string{"guesses", "neighbours", "classes", "confused", "curves", "kernels", "architecture"} {
		if !evaluate[bool](t, p, fmt.Sprintf(`document.getElementById(%q) !== null && document.querySelector('nav a[href="#%s"]') !== null`, id, id)) {
			t.Errorf("there is no section %s, or no link to it", id)
		}
	}
	checkPictures(t, p)
	checkSorting(t, p)
	if n := evaluate[int](t, p, `document.querySelectorAll("svg.chart path").length`); n != 4 {
		t.Errorf("%d lines in the learning curves, not 4", n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errors) > 0 {
		t.Errorf("the browser complains: %q", p.errors)
	}
	if len(p.requests) != 1 || !strings.HasPrefix(p.requests[0], "file:") {
		t.Errorf("the page asks for %q", p.requests)
	}
}

// checkPictures: all pictures are there, and none is blank.
func checkPictures(t *testing.T, p *page) {
	t.Helper()
	// 4 with guesses, 2 queries with 6 neighbours each, and the kernels.
	if n := evaluate[int](t, p, `document.images.length`); n != 4+2*7+1 {
		t.Errorf("%d pictures", n)
	}
	if n := evaluate[int](t, p, `[...document.images].filter(i => !i.complete || i.naturalWidth < 32 || i.getBoundingClientRect().width < 32 || i.alt === "").length`); n > 0 {
		t.Errorf("%d pictures are not shown", n)
	}
	blank := evaluate[int](t, p, `[...document.images].filter(i => {
		if (!i.naturalWidth) return true;
		const c = document.createElement("canvas");
		c.width = i.naturalWidth; c.height = i.naturalHeight;
		const g = c.getContext("2d");
		g.drawImage(i, 0, 0);
		return new Set(g.getImageData(0, 0, c.width, c.height).data).size < 8;
	}).length`)
	if blank > 0 {
		t.Errorf("%d pictures are blank", blank)
	}
	if n := evaluate[int](t, p, `document.querySelectorAll(".guess .bar").length`); n != 4*5 {
		t.Errorf("%d bars", n)
	}
}

// checkSorting: each heading sorts by its column, and back.
func checkSorting(t *testing.T, p *page) {
	t.Helper()
	if labels := column(t, p, 0); len(labels) != 6 || !sorted(labels, true, false) {
		t.Errorf("labels %q at first", labels)
	}
	for _, c := range []struct {
		index   int
		numbers bool
	}{{4, true}, {2, false}, {3, true}, {1, false}, {5, true}, {0, true}} {
		heading := fmt.Sprintf(`document.querySelectorAll("#per-class th button")[%d]`, c.index)
		for _, down := range []bool{false, true} {
			p.do(t, chromedp.Evaluate(heading+`.click()`, nil))
			if values := column(t, p, c.index); len(values) != 6 || !sorted(values, c.numbers, down) {
				t.Errorf("column %d, downwards %t: %q", c.index, down, values)
			}
			if state := evaluate[string](t, p, heading+`.parentElement.ariaSort`); (state == "descending") != down {
				t.Errorf("column %d, downwards %t, says %s", c.index, down, state)
			}
		}
	}
}

// On a phone nothing but tables and rows of pictures, which scroll by themselves, is
// wider than the screen; a dark page is dark, and its text light.
func TestPhoneAndDark(t *testing.T) {
	browser(t)
	p := open(t, report(t), 375)
	if width := evaluate[int](t, p, `document.documentElement.scrollWidth`); width > 375 {
		t.Errorf("the page is %d pixels wide on a phone of 375", width)
	}
	brightness := func(property string) float64 {
		return evaluate[float64](t, p, `getComputedStyle(document.body).`+property+`.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3`)
	}
	for scheme, dark := range map[string]bool{"light": false, "dark": true} {
		p.do(t, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
		if ground, text := brightness("backgroundColor"), brightness("color"); (ground < 64) != dark || (text > 192) != dark {
			t.Errorf("in a %s page the ground is %g and the text %g of 255", scheme, ground, text)
		}
	}
}
