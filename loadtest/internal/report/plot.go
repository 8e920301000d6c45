package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// The picture, in units of its own: it scales with the page.
const (
	plotWidth, plotHeight                    = 720, 260
	plotLeft, plotRight, plotTop, plotBottom = 64, 14, 12, 34
	innerWidth, innerHeight                  = plotWidth - plotLeft - plotRight, plotHeight - plotTop - plotBottom
	maxPoints                                = 360
	maxCurves                                = 8 // as many as there are colors
)

type point struct{ x, y float64 }

type curve struct {
	name   string
	points []point
}

// plot is a picture with lines. All curves share the axes.
type plot struct {
	Title, Note string
	x, y        axis
	curves      []curve
	bands       []band // of the time axis
}

type axis struct {
	label string
	show  func(float64) string
	ticks []float64 // nil: chosen
	low   float64
	high  float64 // 0: from the values
}

// band is a part of the time axis that is not measured.
type band struct {
	from, to float64
	name     string
}

// niceTicks returns about n round numbers from 0 to high.
func niceTicks(high float64, n int) []float64 {
	if high <= 0 || math.IsNaN(high) || math.IsInf(high, 0) {
		high = 1
	}
	raw := high / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := power * 10
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= raw {
			step = m * power
			break
		}
	}
	var ticks []float64
	for i := 0; float64(i-1)*step < high; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

func (p *plot) scale() {
	for i := range p.curves {
		for _, at := range p.curves[i].points {
			p.y.high = max(p.y.high, at.y)
			if p.x.ticks == nil {
				p.x.high = max(p.x.high, at.x)
			}
		}
	}
	if p.y.ticks == nil {
		p.y.ticks = niceTicks(p.y.high, 4)
	}
	p.y.high = p.y.ticks[len(p.y.ticks)-1]
	if p.x.high <= p.x.low {
		p.x.high = p.x.low + 1
	}
	if p.x.ticks == nil {
		for _, t := range niceTicks(p.x.high, 8) {
			if t <= p.x.high {
				p.x.ticks = append(p.x.ticks, t)
			}
		}
	}
}

func (p *plot) at(q point) (x, y float64) {
	x = plotLeft + (q.x-p.x.low)/(p.x.high-p.x.low)*innerWidth
	return x, plotTop + innerHeight - q.y/p.y.high*innerHeight
}

func f1(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// SVG draws it.
func (p *plot) SVG() template.HTML {
	p.scale()
	var b strings.Builder
	esc := template.HTMLEscapeString
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, esc(p.Title))
	for _, band := range p.bands {
		x1, _ := p.at(point{max(band.from, p.x.low), 0})
		x2, _ := p.at(point{min(band.to, p.x.high), 0})
		fmt.Fprintf(&b, `<rect class="band" x="%s" y="%d" width="%s" height="%d"><title>%s</title></rect>`, f1(x1), plotTop, f1(max(x2-x1, 0)), innerHeight, esc(band.name))
	}
	for _, t := range p.y.ticks {
		_, y := p.at(point{p.x.low, t})
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%s" y2="%s"/><text class="tick" x="%d" y="%s" text-anchor="end">%s</text>`,
			plotLeft, plotWidth-plotRight, f1(y), f1(y), plotLeft-8, f1(y+4), esc(p.y.show(t)))
	}
	for _, t := range p.x.ticks {
		x, _ := p.at(point{t, 0})
		fmt.Fprintf(&b, `<line class="mark" x1="%s" x2="%s" y1="%d" y2="%d"/><text class="tick" x="%s" y="%d" text-anchor="middle">%s</text>`,
			f1(x), f1(x), plotTop+innerHeight, plotTop+innerHeight+5, f1(x), plotTop+innerHeight+19, esc(p.x.show(t)))
	}
	fmt.Fprintf(&b, `<text class="tick" x="%d" y="%d" text-anchor="end">%s</text>`, plotWidth-plotRight, plotHeight-2, esc(p.x.label))
	for i := range p.curves {
		p.line(&b, i)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // all texts are escaped
}

// line draws a curve, and wide strips that tell the values under the pointer.
func (p *plot) line(b *strings.Builder, i int) {
	c := &p.curves[i]
	points := c.points
	var path strings.Builder
	for j, q := range points {
		x, y := p.at(q)
		path.WriteString(map[bool]string{true: "M", false: "L"}[j == 0] + f1(x) + " " + f1(y))
	}
	if len(points) == 1 {
		x, y := p.at(points[0])
		fmt.Fprintf(b, `<circle class="c%d dot" cx="%s" cy="%s" r="3"/>`, i%maxCurves, f1(x), f1(y))
	}
	fmt.Fprintf(b, `<path class="c%d" d="%s"/>`, i%maxCurves, path.String())
	esc := template.HTMLEscapeString
	step := max(len(points)/120, 1)
	for j := 0; j < len(points); j += step {
		x, y := p.at(points[j])
		fmt.Fprintf(b, `<circle class="hit" cx="%s" cy="%s" r="5"><title>%s: %s at %s</title></circle>`,
			f1(x), f1(y), esc(c.name), esc(p.y.show(points[j].y)), esc(p.x.show(points[j].x)))
	}
}

// Legend names the curves.
func (p *plot) Legend() template.HTML {
	if len(p.curves) < 2 {
		return ""
	}
	var b strings.Builder
	for i := range p.curves {
		fmt.Fprintf(&b, `<span><i class="c%d"></i>%s</span>`, i%maxCurves, template.HTMLEscapeString(p.curves[i].name))
	}
	return template.HTML(b.String()) // all texts are escaped
}

// Units of axes.
func showMS(us float64) string {
	switch {
	case us == 0:
		return "0"
	case us >= 1e6:
		return strconv.FormatFloat(us/1e6, 'g', 3, 64) + " s"
	case us >= 1e3:
		return strconv.FormatFloat(us/1e3, 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(us, 'g', 3, 64) + " µs"
}

func showCount(v float64) string {
	for _, u := range []struct {
		factor float64
		suffix string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= u.factor {
			if u.suffix == "k" {
				u.factor = 1e3
			}
			return strconv.FormatFloat(v/u.factor, 'g', 4, 64) + u.suffix
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func showSeconds(s float64) string {
	if s >= 120 {
		return fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60)
	}
	return strconv.FormatFloat(s, 'f', 0, 64) + " s"
}

// timePlot is a plot over the time of the run. Where there are more points than the
// picture can show, the highest of neighbours stays.
func timePlot(d *result.Document, title, note string, show func(float64) string, curves ...curve) *plot {
	p := &plot{Title: title, Note: note, x: axis{label: "time", show: showSeconds}, y: axis{show: show}, bands: bands(d)}
	for i, c := range curves {
		if i == maxCurves {
			p.Note = strings.TrimSpace(fmt.Sprintf("%s The first %d of %d are shown.", note, maxCurves, len(curves)))
			break
		}
		some := false
		for _, q := range c.points {
			some = some || q.y > 0
		}
		if some {
			c.points = thin(c.points)
			p.curves = append(p.curves, c)
		}
	}
	if len(p.curves) == 0 {
		return nil
	}
	return p
}

func thin(points []point) []point {
	step := (len(points) + maxPoints - 1) / maxPoints
	if step <= 1 {
		return points
	}
	var out []point
	for i := 0; i < len(points); i += step {
		highest := points[i]
		for _, q := range points[i:min(i+step, len(points))] {
			if q.y > highest.y {
				highest = q
			}
		}
		out = append(out, highest)
	}
	return out
}

// bands are the phases that are not measured.
func bands(d *result.Document) (list []band) {
	for i, s := range d.Series {
		switch s.Phase {
		case "ramp", "warmup", "cooldown":
		default:
			continue
		}
		end := s.At + 1
		if i+1 < len(d.Series) {
			end = d.Series[i+1].At
		}
		if n := len(list); n > 0 && list[n-1].name == s.Phase && list[n-1].to == s.At {
			list[n-1].to = end
		} else {
			list = append(list, band{s.At, end, s.Phase})
		}
	}
	return list
}

// series makes a curve of something of each second.
func series(d *result.Document, name string, of func(*result.Second) float64) curve {
	c := curve{name: name}
	for i := range d.Series {
		c.points = append(c.points, point{d.Series[i].At, of(&d.Series[i])})
	}
	return c
}

// percentiles is the curve of latency by percentile: each step to the right is ten times
// rarer.
func percentiles(d *result.Document) *plot {
	p := &plot{
		Title: "Latency by percentile", Note: "Each mark to the right is for values ten times rarer.",
		x: axis{label: "percentile", show: showPercentile, ticks: []float64{0, 1, 2, 3}, high: 3},
		y: axis{show: showMS},
	}
	longest := int64(0)
	for _, name := range result.LatencyNames {
		l := d.Latencies[name]
		h, err := l.Distribution()
		if l.Count == 0 || err != nil || name == result.ScheduleLag || len(p.curves) == maxCurves {
			continue
		}
		longest = max(longest, l.Count)
		c := curve{name: titles[name]}
		end := min(math.Log10(float64(l.Count)), 6)
		for i := 0; ; i++ {
			x := float64(i) / 24
			if x > end {
				break
			}
			c.points = append(c.points, point{x, float64(h.ValueAtPercentile(100 * (1 - math.Pow(10, -x))))})
		}
		c.points = append(c.points, point{end, float64(l.Max)})
		p.curves = append(p.curves, c)
	}
	if len(p.curves) == 0 {
		return nil
	}
	for decade := 4.0; decade <= 6 && float64(longest) >= math.Pow(10, decade); decade++ {
		p.x.ticks, p.x.high = append(p.x.ticks, decade), decade
	}
	if end := math.Log10(float64(longest)); end > p.x.high {
		p.x.high = min(end, 6)
	}
	return p
}

func showPercentile(x float64) string {
	if x == 0 {
		return "0 %"
	}
	return strconv.FormatFloat(100*(1-math.Pow(10, -x)), 'f', max(int(math.Ceil(x))-2, 0), 64) + " %"
}
