// Package spelling finds what a misspelled name may have been meant to be. It
// compares words, not letters: NVIDIA_H100 is near to every H100, and far from
// NVIDIA_B200, from which it differs in two letters.
package spelling

import (
	"slices"
	"strings"
	"unicode"
)

// A Vocabulary describes the words of one set of names.
type Vocabulary struct {
	// Noise are words that do not distinguish names, for example a vendor that
	// makes all of them.
	Noise []string
	// Generic are words that many names share: to have only such a word in common
	// is to have nothing in common.
	Generic []string
	// Alias maps words that users write (lower case, divided by one space) to the
	// words of the names: "v5e" to "v5 litepod".
	Alias map[string]string
}

// most bounds the names that are returned, and longest the text that is compared,
// in bytes: a text longer than any name is near to none.
const (
	most    = 5
	longest = 64
)

// Nearest returns the names that may be meant by what was written, the most
// likely first, none if none is near. sure says that there is one, and that
// what was written differs from it in case, separators and noise only.
func Nearest(written string, names []string, v Vocabulary) (near []string, sure bool) {
	plain := Squeeze(written)
	if plain == "" || len(plain) > longest {
		return nil, false
	}
	for _, n := range names {
		if Squeeze(n) == plain {
			return []string{n}, true
		}
	}
	said := v.words(written)
	type candidate struct {
		name        string
		score, like float64
		exact       bool
	}
	var found []candidate
	for _, n := range names {
		has := v.words(n)
		c := candidate{name: n, score: v.score(said, has)}
		c.exact = len(said) == len(has) && c.score == v.weight(said)
		c.like = 2 * c.score / (v.weight(said) + v.weight(has))
		if v.glued(plain, n) {
			c.exact, c.score, c.like = true, v.weight(said), 1
		}
		if c.score > 0 && c.score >= v.weight(said)/2 && !v.otherModel(said, has, c.exact) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return v.byLetters(plain, names), false
	}
	best := 0.0
	for _, c := range found {
		best = max(best, c.score)
	}
	found = slices.DeleteFunc(found, func(c candidate) bool { return c.score < best })
	slices.SortStableFunc(found, func(a, b candidate) int { return compare(b.like, a.like) })
	// Two words that are all of a name mean that name, though another has them too.
	if found[0].exact && len(split(written)) > 1 && len(v.meaning(written)) > 1 {
		found = slices.DeleteFunc(found, func(c candidate) bool { return !c.exact })
	}
	for _, c := range found[:min(len(found), most)] {
		near = append(near, c.name)
	}
	return near, len(near) == 1 && slices.Equal(v.meaning(written), v.meaning(near[0]))
}

// Likeness says how much two names have in common, from 0 to 1. It allocates
// nothing, because it is asked of every pool for a refusal.
func Likeness(a, b string) float64 {
	same, all := 0.0, 0
	for rest := a; ; {
		var w string
		if w, rest = cutWord(rest); w == "" {
			break
		}
		all++
		best := 0.0
		for other := b; best < 1; {
			var o string
			if o, other = cutWord(other); o == "" {
				break
			}
			switch n := min(len(w), len(o)); {
			case strings.EqualFold(w, o):
				best = 1
			case n >= 3 && strings.EqualFold(w[:3], o[:3]):
				best = max(best, 0.5)
			}
		}
		same += best
	}
	for rest := b; ; all++ {
		var w string
		if w, rest = cutWord(rest); w == "" {
			break
		}
	}
	if all == 0 {
		return 0
	}
	return min(1, 2*same/float64(all))
}

// cutWord returns the first word of a name, and what follows it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, "-_. ")
	if i := strings.IndexAny(s, "-_. "); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// Squeeze removes what separates words, and case.
func Squeeze(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || c == '_' || c == '.' || c == ' ' {
			return -1
		}
		return unicode.ToLower(c)
	}, s)
}

// split returns the words of a name, in lower case. Words are divided by
// anything but letters and digits, and by a capital after a small letter.
func split(s string) (words []string) {
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			words = append(words, b.String())
			b.Reset()
		}
	}
	small := false
	for _, c := range s {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			end()
			small = false
			continue
		case unicode.IsUpper(c) && small:
			end()
		}
		small = unicode.IsLower(c) || unicode.IsDigit(c) && small
		b.WriteRune(unicode.ToLower(c))
	}
	end()
	return words
}

// words returns the words of a name that mean something, in the vocabulary of
// the names.
func (v Vocabulary) words(s string) (words []string) {
	const longestAlias = 3 // words
	said := v.meaning(s)
next:
	for len(said) > 0 {
		for n := min(longestAlias, len(said)); n > 0; n-- {
			if to, ok := v.Alias[strings.Join(said[:n], " ")]; ok {
				words, said = append(words, strings.Fields(to)...), said[n:]
				continue next
			}
		}
		words, said = append(words, said[0]), said[1:]
	}
	return words
}

// meaning returns the words of a name without noise and plurals.
func (v Vocabulary) meaning(s string) (words []string) {
	for _, w := range split(s) {
		if slices.ContainsFunc(v.Noise, func(n string) bool { return n == w || len(n) > 4 && near(n, w) }) {
			continue
		}
		if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
			w = strings.TrimSuffix(w, "s")
		}
		words = append(words, w)
	}
	return words
}

// score is the weight of the words said that a name has, those with a typing
// error counted a little less. A word of the name counts once.
func (v Vocabulary) score(said, has []string) (sum float64) {
	left := slices.Clone(has)
	take := func(w string, same func(a, b string) bool) bool {
		i := slices.IndexFunc(left, func(h string) bool { return same(w, h) })
		if i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
		return i >= 0
	}
	for _, w := range said {
		switch {
		case take(w, func(a, b string) bool { return a == b || sameMemory(a, b) }):
			sum += v.weightOf(w)
		case !slices.Contains(has, w) && take(w, func(a, b string) bool { return like(a, b) && !slices.Contains(said, b) }):
			sum += 0.8 * v.weightOf(w)
		}
	}
	return sum
}

func (v Vocabulary) weight(words []string) (sum float64) {
	for _, w := range words {
		sum += v.weightOf(w)
	}
	return sum
}

// weightOf is less for words that distinguish little: a memory size belongs to a model.
func (v Vocabulary) weightOf(w string) float64 {
	if slices.Contains(v.Generic, w) || memory(w) {
		return 0.5
	}
	return 1
}

// otherModel says that what was written names a model, and the candidate is of
// none of that name.
func (v Vocabulary) otherModel(said, has []string, exact bool) bool {
	models := false
	for _, w := range said {
		if memory(w) || !strings.ContainsAny(w, "0123456789") {
			continue
		}
		if slices.Contains(has, w) {
			return false
		}
		models = true
	}
	return models && !exact
}

// glued says that the name's words were written without separators, noise left
// out: a10080gb.
func (v Vocabulary) glued(plain, name string) bool {
	strip := func(s string) string {
		for _, n := range v.Noise {
			s = strings.ReplaceAll(s, n, "")
		}
		return s
	}
	s := strip(plain)
	return s != "" && s == strip(Squeeze(name))
}

// byLetters returns the name that differs from what was written by few letters:
// for names without digits, in which a letter is not a model.
func (v Vocabulary) byLetters(plain string, names []string) []string {
	best, least := "", max(1, len(plain)/5)+1
	for _, n := range names {
		p := Squeeze(n)
		if strings.ContainsAny(plain+p, "0123456789") || len(plain) < 3 {
			continue
		}
		if d := distance(plain, p); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return nil
	}
	return []string{best}
}

// like says that two words without digits may be one: one abbreviates the other,
// or they differ by a typing error.
func like(a, b string) bool {
	if strings.ContainsAny(a+b, "0123456789") {
		return false
	}
	return short(a, b) || short(b, a) || near(a, b)
}

// short says whether a abbreviates b: it has some of its letters, the first among
// them.
func short(a, b string) bool {
	if len(a) < 3 || len(b) < len(a) || a[0] != b[0] {
		return false
	}
	i := 0
	for j := 0; j < len(b) && i < len(a); j++ {
		if a[i] == b[j] {
			i++
		}
	}
	return i == len(a)
}

// near says that two words differ by a typing error.
func near(a, b string) bool {
	switch n := min(len(a), len(b)); {
	case n < 3:
		return false
	case n < 7:
		return distance(a, b) <= 1
	}
	return distance(a, b) <= 2
}

// memory says whether a word is a size: 80GB, 80G or 80.
func memory(w string) bool {
	return w != "" && strings.Trim(strings.TrimSuffix(strings.TrimSuffix(w, "b"), "g"), "0123456789") == "" && w[0] <= '9'
}

func sameMemory(a, b string) bool {
	return memory(a) && memory(b) && strings.TrimRight(a, "gb") == strings.TrimRight(b, "gb")
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// distance is the number of letters to add, leave out, change or swap with
// their neighbour that turn one short word into the other.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			d := row[j]
			if a[i] != b[j] {
				d++
			}
			next[j+1] = min(d, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
