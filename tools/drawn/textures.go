package drawn

// A weave is a texture that fills the picture.
type weave struct {
	x, y     int // where its origin lies, in pixels
	cos, sin int
	period   int // 8 binary digits after the point
	mix      [4]int
	cover    func(t *weave, u, v int) int32
}

// texture paints a pattern that repeats few to many times over the short side.
func texture(few, many int, cover func(t *weave, u, v int) int32) func(*draws, scene) mask {
	return func(r *draws, s scene) mask {
		a := r.intn(turn)
		t := &weave{cos: cos(a), sin: sin(a), cover: cover}
		t.x, t.y = s.w/2+r.between(-s.short/4, s.short/4), s.h/2+r.between(-s.short/4, s.short/4)
		t.period = s.short * one * 16 / r.between(16*few, 16*many)
		for i := range t.mix {
			t.mix[i] = r.intn(one)
		}
		return t
	}
}

func (t *weave) row(y int, cover []int32) {
	dy := y - t.y
	for x := range cover {
		dx := x - t.x
		cover[x] = t.cover(t, (dx*t.cos+dy*t.sin)>>6, (dy*t.cos-dx*t.sin)>>6)
	}
}

// band is the distance inside of stripes of a width that repeat.
func band(u, period, width int) int { return width/2 - abs(mod(u, period)-period/2) }

// part draws between low and high 256ths of the period, fixed for a picture.
func (t *weave) part(i, low, high int) int {
	return t.period * (low + (high-low)*t.mix[i]/one) / one
}

func stripes(t *weave, u, v int) int32 {
	return covered(band(u, t.period, t.part(0, 90, 160)))
}

func waves(t *weave, u, v int) int32 {
	length := t.period + t.part(1, 50, 300)
	return covered(band(u+t.part(2, 60, 120)*sin(v*turn/length)>>14, t.period, t.part(0, 90, 150)))
}

func zigzag(t *weave, u, v int) int32 {
	length := t.period + t.part(1, 50, 250)
	bend := abs(mod(v, length)*2-length) * t.part(2, 220, 400) / length
	return covered(band(u+bend, t.period, t.part(0, 90, 150)))
}

func checks(t *weave, u, v int) int32 {
	a, b := covered(band(u, t.period, t.period/2)), covered(band(v, t.period, t.period/2))
	return (a*(one-b) + b*(one-a)) >> 8
}

func dots(t *weave, u, v int) int32 {
	if t.mix[1] < one/2 && mod(v, 2*t.period) >= t.period { // staggered rows
		u += t.period / 2
	}
	return covered(disc(mod(u, t.period)-t.period/2, mod(v, t.period)-t.period/2, t.part(0, 65, 95)))
}

func grid(t *weave, u, v int) int32 {
	width := t.part(0, 35, 80)
	return covered(max(band(u, t.period, width), band(v, t.period, width)))
}

func bricks(t *weave, u, v int) int32 {
	if mod(v, 2*t.period) >= t.period {
		u += t.period
	}
	gap := t.part(0, 30, 70)
	return covered(min(band(u, 2*t.period, 2*t.period-gap), band(v, t.period, t.period-gap)))
}

// rays are sectors around the origin: the sides of some lines through it.
func rays(t *weave, u, v int) int32 {
	n := 3 + t.mix[0]*4/one
	inside, edge := true, 1<<30
	for i := range n {
		d := side(u, v, i*turn/2/n, 0)
		if d < 0 {
			inside, d = !inside, -d
		}
		edge = min(edge, d)
	}
	if !inside {
		edge = -edge
	}
	return covered(edge)
}

func targets(t *weave, u, v int) int32 {
	return covered(band(root(u*u+v*v), t.period, t.part(0, 100, 150)))
}
