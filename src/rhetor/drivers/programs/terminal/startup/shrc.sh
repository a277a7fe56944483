# Start-up of a shell that reads the file in ENV, such as dash: the user's own file, then marks around prompts
# (OSC 133). Dash cannot mark where the output of a command begins, so the A mark says that it does not.
__rhetor_own=@OWN@
if [ -n "$__rhetor_own" ]; then
  eval "__rhetor_own=\"$__rhetor_own\""
  [ -r "$__rhetor_own" ] && . "$__rhetor_own"
fi
unset __rhetor_own
case $(readlink "/proc/$$/exe" 2>/dev/null) in
*/dash)
  # an exported prompt of bash has marks that dash would show
  PS1=${PS1#'\[\033]133;A\007\]'}
  PS1=${PS1%'\[\033]133;B\007\]'}
  PS1=$(printf '\033]133;D;$?\007\033]133;A;commands=unmarked\007')$PS1$(printf '\033]133;B\007')
  alias zsh >/dev/null 2>&1 || [ ! -r @FOLDER@/zsh_function ] || . @FOLDER@/zsh_function
  ;;
esac
