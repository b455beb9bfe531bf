package drawn

// A scene is the picture that a class is painted on, in pixels.
type scene struct{ w, h, short int }

// A mask says how much of each pixel the class's shapes or texture cover.
type mask interface {
	// row sets cover, which is zero, to 0 (not at all) to 256 (all).
	row(y int, cover []int32)
}

// kinds are the classes. The first eight are the ones that a small set uses:
// three shapes, a shape with a hole, and four textures.
var kinds = [...]struct { //nolint:gochecknoglobals // read only
	name  string
	paint func(*draws, scene) mask
}{
	{"disc", shapes(disc)},
	{"triangle", shapes(triangle)},
	{"stripes", texture(3, 7, stripes)},
	{"checks", texture(2, 5, checks)},
	{"star", shapes(star)},
	{"ring", shapes(ring)},
	{"waves", texture(3, 6, waves)},
	{"dots", texture(4, 7, dots)},
	{"square", shapes(square)},
	{"cross", shapes(cross)},
	{"grid", texture(3, 6, grid)},
	{"rays", texture(1, 1, rays)},
	{"targets", texture(4, 8, targets)},
	{"bricks", texture(4, 7, bricks)},
	{"zigzag", texture(3, 6, zigzag)},
	{"crescent", shapes(crescent)},
	{"frame", shapes(frame)},
	{"capsule", shapes(capsule)},
	{"half disc", shapes(halfDisc)},
	{"hourglass", shapes(hourglass)},
}

// A distance says how far a point lies inside (above 0) or outside of a shape of
// radius r around the origin. Near the edge it is exact enough to smooth it.
// All numbers have 8 binary digits after the point.
type distance func(u, v, r int) int

// A solid is one shape in the picture.
type solid struct {
	x, y, r  int // middle and radius in pixels
	cos, sin int
	inside   distance
}

// solids are the shapes of a picture.
type solids []solid

// shapes paints one to four of a shape, apart from each other, in the middle
// part of the picture, which is what a square crop keeps.
func shapes(inside distance) func(*draws, scene) mask {
	return func(r *draws, s scene) mask {
		var list solids
		n := r.between(1, 4)
		for range 12 * n {
			radius := s.short * r.between(46-4*n, 104-14*n) / 256
			reach := s.short/2 - radius
			x, y := s.w/2+r.between(-reach, reach), s.h/2+r.between(-reach, reach)
			a := r.intn(turn)
			apart := true
			for _, o := range list {
				dx, dy, d := x-o.x, y-o.y, radius+o.r
				apart = apart && dx*dx+dy*dy > d*d
			}
			if apart {
				list = append(list, solid{x: x, y: y, r: radius, cos: cos(a), sin: sin(a), inside: inside})
			}
			if len(list) == n {
				break
			}
		}
		return list
	}
}

func (list solids) row(y int, cover []int32) {
	for i := range list {
		o := &list[i]
		dy := y - o.y
		if abs(dy) > o.r+1 {
			continue
		}
		for x := max(0, o.x-o.r-1); x <= min(len(cover)-1, o.x+o.r+1); x++ {
			dx := x - o.x
			u, v := (dx*o.cos+dy*o.sin)>>6, (dy*o.cos-dx*o.sin)>>6
			if c := covered(o.inside(u, v, o.r*one)); c > cover[x] {
				cover[x] = c
			}
		}
	}
}

// covered turns a distance from an edge into the covered part of a pixel.
func covered(d int) int32 { return int32(min(max(d+one/2, 0), one)) }

func disc(u, v, r int) int { return (r*r - u*u - v*v) / (2 * r) }

func ring(u, v, r int) int { return min(disc(u, v, r), -disc(u, v, r*9/16)) }

func square(u, v, r int) int { return r*11/16 - max(abs(u), abs(v)) }

func frame(u, v, r int) int { return min(square(u, v, r), -square(u, v, r*5/8)) }

// side is the distance inside of a line that lies d from the origin, in the
// direction of an angle.
func side(u, v, angle, d int) int { return d - (u*cos(angle)+v*sin(angle))>>14 }

func triangle(u, v, r int) int {
	return min(side(u, v, 0, r/2), side(u, v, turn/3, r/2), side(u, v, 2*turn/3, r/2))
}

// star is a pentagram: the points inside of at least four of its five lines.
func star(u, v, r int) int {
	low, second := 1<<30, 1<<30
	for i := range 5 {
		d := side(u, v, i*turn/5, r*79/256)
		switch {
		case d < low:
			low, second = d, low
		case d < second:
			second = d
		}
	}
	return second
}

func cross(u, v, r int) int {
	u, v = abs(u), abs(v)
	return max(min(r*15/16-u, r*5/16-v), min(r*5/16-u, r*15/16-v))
}

func crescent(u, v, r int) int { return min(disc(u, v, r), -disc(u-r/2, v, r*7/8)) }

func capsule(u, v, r int) int {
	return disc(u-min(max(u, -r*11/16), r*11/16), v, r*5/16)
}

func halfDisc(u, v, r int) int { return min(disc(u, v, r), v+r/8) }

func hourglass(u, v, r int) int {
	return min(r*3/4-abs(u), (abs(u)-abs(v))*181/256+r/12)
}
