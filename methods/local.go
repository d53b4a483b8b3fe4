package methods

// localMethod runs the agent as a plain child process: same machine, same account.
var localMethod = &Method{
	Name:  "local",
	Help:  "a child process on the same machine, as the same account",
	local: true,
	argv:  func(_ values, boot []string) ([]string, error) { return boot, nil },
}
