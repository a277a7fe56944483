# What PROMPT_COMMAND of a wrapped bash evaluates, and of a bash inside a wrapped shell, which finds it in its
# environment: marks around prompts and commands (OSC 133).
__rhetor_code=$?
if [ -z "${__rhetor_marks-}" ]; then
  __rhetor_marks=1
  case ${PROMPT_COMMAND@a} in
  *a*)
    # bash evaluates the other elements itself; an array cannot be exported, nor replaced while it is evaluated
    __rhetor_user_prompt=() ;;
  *)
    __rhetor_stub=@STUB@
    if [ -z "${__rhetor_user_prompt+x}" ]; then
      __rhetor_user_prompt=("${PROMPT_COMMAND//"$__rhetor_stub"/:}")
    fi
    PROMPT_COMMAND=$__rhetor_stub ;;
  esac
  case $PS0 in
  *'133;C'*) ;;
  *) PS0='\033]133;C\007'"$PS0" ;;
  esac
  # an exported prompt of dash has marks of its own
  PS1=${PS1#*';commands=unmarked'$'\a'}
  # sets $? to the status of the user's command again, for the user's own prompt commands
  __rhetor_status() { return "$1"; }
  case $- in
  *r*) ;;
  *) alias zsh >/dev/null 2>&1 || [ ! -r @FOLDER@/zsh_function ] || . @FOLDER@/zsh_function ;;
  esac
fi
builtin printf '\033]133;D;%s\007' "$__rhetor_code"
for __rhetor_each in "${__rhetor_user_prompt[@]}"; do
  __rhetor_status "$__rhetor_code"
  builtin eval "$__rhetor_each"
done
case $PS1 in
*'133;A'*) ;;
*) PS1='\[\033]133;A\007\]'"$PS1"'\[\033]133;B\007\]' ;;
esac
__rhetor_status "$__rhetor_code"
