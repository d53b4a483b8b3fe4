package router_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"fakessh/router"
)

// A parent and a child are joined by any byte stream; the child serves a function.
func Example() {
	parent := router.New(router.Config{})
	child := router.New(router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
	defer parent.Close()
	defer child.Close()
	child.Register("demo.greet", func(_ context.Context, c *router.Call) (any, error) {
		return "hello " + c.Args[0].(string), nil
	})

	above, below := net.Pipe()
	if _, err := child.AddLink(below, router.LinkConfig{Remote: 0, Parent: true}); err != nil {
		fmt.Println(err)
	}
	web1, err := parent.AddLink(above, router.LinkConfig{Remote: 1, Name: "web1"})
	if err != nil {
		fmt.Println(err)
	}

	fmt.Println(web1.Call(context.Background(), "demo.greet", "world"))
	_, err = web1.Call(context.Background(), "demo.leave")
	fmt.Println(err)

	child.Close()
	<-web1.Done()
	fmt.Println(web1.Err())
	fmt.Println(errors.Is(web1.Err(), router.ErrLost))
	// Output:
	// hello world <nil>
	// fakessh.router.NotFound: no function demo.leave
	// context "web1" (1) lost: connection closed by the other side
	// true
}

// Calls of a chain need not be waited for: they run in order, and the first error is that of all that follow.
func ExampleCallChain() {
	r := router.New(router.Config{})
	defer r.Close()
	r.Register("demo.step", func(_ context.Context, c *router.Call) (any, error) {
		if c.Args[0] == int64(2) {
			return nil, errors.New("step 2 does not work")
		}
		return c.Args[0], nil
	})

	chain := r.Context(r.ID()).Chain()
	defer chain.Close()
	for i := range 5 {
		if err := chain.CallNoReply("demo.step", i); err != nil {
			fmt.Println(err)
		}
	}
	_, err := chain.Call(context.Background(), "demo.step", 5)
	fmt.Println(err)
	// Output: fakessh.Error: step 2 does not work
}
