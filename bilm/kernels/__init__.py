"""Native operators for the processor, compiled on first use; without them Paddle's own are used.

The environment variable BILM_KERNEL says which ones: `auto` (the default) takes the native ones
in dynamic mode on the CPU where they can be compiled, `paddle` never takes them, and `native`
takes them in static programs as well and fails where that cannot be. Such a program runs only
where the operators are loaded; exported programs, which others run, therefore keep Paddle's.

The rest of the project calls `bilm.kernels.operators`, which takes them from `native` or from
`with_paddle`; `loading` chooses and loads, `build` compiles. `core/` holds the computing, which
knows nothing of Paddle, and `operators.cc` the Paddle operators around it.
"""
